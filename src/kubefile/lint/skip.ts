import type { Diagnostic, Span } from '../../core/diagnostic.ts'
import { suggest } from '../../core/suggest.ts'
import type { Instruction, Kubefile } from '../ast.ts'
import { lintRules } from './rules.ts'

/** What a Kubefile says of its own linting: `# check=skip=…;error=true` above all, `# cloudimg lint: skip=…` above a line. */
export interface Skips {
  /** Warnings count as errors. */
  readonly strict: boolean
  isSkipped(diagnostic: Diagnostic): boolean
  /** Rules that are skipped and are none. */
  readonly diagnostics: readonly Diagnostic[]
}

interface SkipWish {
  readonly names: readonly string[]
  /** Where the wish counts; undefined for the whole file. */
  readonly within: Span | undefined
  readonly place: Span
}

const commentPattern = /^\s*cloudimg\s+lint:\s*skip=(.*)$/i

/** Errors cannot be skipped: what is wrong stays wrong. */
export function readSkips(kubefile: Kubefile): Skips {
  const check = kubefile.directives.find(({ name }) => name === 'check')
  const options = new Map((check?.value ?? '').split(';').map(option => splitOnce(option.trim())))
  const wishes: readonly SkipWish[] = [
    ...(check === undefined ? [] : [{ names: listOf(options.get('skip')), within: undefined, place: check.span }]),
    ...allInstructions(kubefile).flatMap(({ comments, span }) =>
      comments.flatMap(comment => {
        const names = commentPattern.exec(comment)?.[1]
        return names === undefined ? [] : [{ names: listOf(names), within: span, place: span }]
      }),
    ),
  ]
  return {
    strict: options.get('error')?.toLowerCase() === 'true',
    isSkipped: diagnostic =>
      diagnostic.severity === 'warning' &&
      wishes.some(({ names, within }) => isMeant(names, diagnostic.rule) && isWithin(diagnostic.span, within)),
    diagnostics: wishes.flatMap(({ names, place }) => names.flatMap(name => checkName(name, place))),
  }
}

function allInstructions({ globalArgs, stages }: Kubefile): readonly Instruction[] {
  return [...globalArgs, ...stages.flatMap(({ from, instructions }) => [...(from ? [from] : []), ...instructions])]
}

function splitOnce(option: string): [name: string, value: string] {
  const equals = option.indexOf('=')
  return equals < 0 ? [option.toLowerCase(), ''] : [option.slice(0, equals).toLowerCase(), option.slice(equals + 1)]
}

function listOf(names: string | undefined): readonly string[] {
  return (names ?? '')
    .split(/[\s,]+/)
    .map(name => name.trim())
    .filter(name => name !== '')
}

function isMeant(names: readonly string[], rule: string): boolean {
  return names.includes(rule) || names.includes('all')
}

function isWithin(span: Span, within: Span | undefined): boolean {
  if (within === undefined) return true
  return span.start.offset >= within.start.offset && span.start.offset <= within.end.offset
}

function checkName(name: string, span: Span): readonly Diagnostic[] {
  const known = lintRules.map(({ id }) => id)
  // BuildKit's rules have names like StageNameCasing: a Dockerfile that came here may skip them.
  if (name === 'all' || /^[A-Z]/.test(name)) return []
  const rule = lintRules.find(({ id }) => id === name)
  if (rule?.severity === 'warning') return []
  const near = suggest(name, known)
  const hint = near === undefined ? 'docs/rules/README.md lists the rules' : `did you mean ${near}?`
  const why = rule === undefined ? { message: `there is no rule "${name}" to skip`, hint } : cannotSkip(name)
  return [{ severity: 'warning', rule: 'skip', span, ...why }]
}

function cannotSkip(name: string): Pick<Diagnostic, 'message' | 'hint'> {
  return { message: `"${name}" finds errors, which cannot be skipped`, hint: 'delete the wish, and mend the error' }
}
