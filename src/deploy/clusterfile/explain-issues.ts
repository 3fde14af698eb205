import type * as z from 'zod'
import type { Diagnostic } from '../../core/diagnostic.ts'
import { suggest } from '../../core/suggest.ts'
import { knownFields } from './known-fields.ts'
import { clusterfileSchema } from './schema.ts'
import type { Locate, Path } from './source-text.ts'

type Issue = z.core.$ZodIssue

/** What the schema says against a value, in the words of the file. */
export function explainIssues(issues: readonly Issue[], value: unknown, locate: Locate): readonly Diagnostic[] {
  return issues.flatMap(issue => {
    if (issue.code === 'unrecognized_keys') return issue.keys.map(key => unknownField([...issue.path, key], locate))
    const inside = insideMap(issue, value)
    return inside.length > 0 ? explainIssues(inside, value, locate) : [mistake(issue, value, locate)]
  })
}

/** What may be a map or something simple, and is a map: that is what was meant, so its own mistakes count. */
function insideMap(issue: Issue, value: unknown): readonly Issue[] {
  if (issue.code !== 'invalid_union' || kindOf(valueAt(value, issue.path)) !== 'a map') return []
  const about = issue.errors.find(issues =>
    issues.every(({ path, code }) => path.length > 0 || code === 'unrecognized_keys'),
  )
  return (about ?? []).map(found => ({ ...found, path: [...issue.path, ...found.path] }))
}

function unknownField(path: Path, locate: Locate): Diagnostic {
  const key = String(path.at(-1))
  const known = knownFields(clusterfileSchema, path.slice(0, -1))
  const near = suggest(key, known)
  const hint = /passw|secret|token/i.test(key)
    ? 'secrets do not belong into the file: write passwordEnv: VARIABLE, or say --ask-password'
    : near === undefined
      ? `there is ${known.join(', ')}`
      : `did you mean ${near}?`
  return {
    severity: 'error',
    rule: 'unknown-field',
    message: `unknown field "${key}"`,
    span: locate(path, 'key'),
    hint,
  }
}

function mistake(issue: Issue, value: unknown, locate: Locate): Diagnostic {
  const name = pathText(issue.path)
  const found = valueAt(value, issue.path)
  if (found === undefined)
    return {
      severity: 'error',
      rule: 'missing-field',
      message: `"${name}" is missing`,
      span: locate(issue.path.slice(0, -1), 'key'),
    }
  const place = issue.code === 'invalid_key' ? 'key' : 'value'
  const hint = hintFor(issue, found)
  return {
    severity: 'error',
    rule: 'wrong-value',
    message: `"${name}": ${reasonFor(issue, found)}`,
    span: locate(issue.path, place),
    ...(hint === undefined ? {} : { hint }),
  }
}

function reasonFor(issue: Issue, found: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      return `${kindOf(found)} where ${article(issue.expected)} belongs`
    case 'invalid_value':
      return `${shown(found)} is none of ${issue.values.map(String).join(', ')}`
    case 'invalid_union':
      return issue.path[1] === 'hooks'
        ? `${kindOf(found)} where lines for the shell, or a map with run, belong`
        : `${kindOf(found)} where a text, a number, true, false or a list of such belongs`
    case 'invalid_key':
      return issue.issues[0]?.message ?? 'no such key'
    case 'too_small':
      return issue.origin === 'number' ? `${shown(found)} is less than ${issue.minimum}` : 'it is empty'
    case 'too_big':
      return `${shown(found)} is more than ${issue.maximum}`
    default:
      return `${shown(found)} is ${issue.message}`
  }
}

function hintFor(issue: Issue, found: unknown): string | undefined {
  if (issue.code === 'invalid_value' && typeof found === 'string') {
    const near = suggest(found, issue.values.map(String))
    return near === undefined ? undefined : `did you mean ${near}?`
  }
  const isBareScalar = typeof found === 'number' || typeof found === 'boolean'
  return issue.code === 'invalid_type' && issue.expected === 'string' && isBareScalar
    ? `write "${found}", in quotes`
    : undefined
}

function kindOf(found: unknown): string {
  if (found === null) return 'nothing'
  if (Array.isArray(found)) return 'a list'
  if (typeof found === 'object') return 'a map'
  return typeof found === 'string' ? 'a text' : `${found as number | boolean}`
}

function article(expected: string): string {
  const words: Readonly<Record<string, string>> = {
    string: 'a text',
    array: 'a list',
    object: 'a map',
    record: 'a map',
    int: 'a whole number',
    number: 'a number',
  }
  return words[expected] ?? expected
}

function shown(found: unknown): string {
  return JSON.stringify(found)
}

export function pathText(path: Path): string {
  return path.map((key, at) => (typeof key === 'number' ? `[${key}]` : `${at === 0 ? '' : '.'}${String(key)}`)).join('')
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[key] : undefined),
    value,
  )
}
