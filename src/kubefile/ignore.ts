import { posix } from 'node:path'
import { CloudimgError } from '../core/error.ts'
import { type PatternToken, parseToken, takes } from './pattern.ts'

/**
 * `anything`: any text, `/` included. `directories`: nothing, or any text that ends with `/`; the token `inside` follows
 * it and stands for having begun such a text.
 */
type IgnoreToken =
  PatternToken | { readonly kind: 'anything' } | { readonly kind: 'directories' } | { readonly kind: 'inside' }

interface IgnoreRule {
  /** `!pattern`: what matches is back in. */
  readonly isException: boolean
  readonly tokens: readonly IgnoreToken[]
}

/** In the order of the file: the last rule that matches decides. */
export type IgnoreRules = readonly IgnoreRule[]

/**
 * .dockerignore: one pattern a line, `#` in column 1 begins a comment, `!` re-includes, `**` takes any number of
 * directories. Paths and patterns are relative to the context, a leading `/` counts for nothing.
 * @throws KUBEFILE_INVALID for a malformed pattern, CONTEXT_INVALID for a lone `!`.
 */
export function parseIgnore(text: string): IgnoreRules {
  return text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .flatMap((line, index) => (line.startsWith('#') || line.trim() === '' ? [] : [parseRule(line.trim(), index + 1)]))
}

/** One pattern each, as `--exclude` and `--parents` take them: nothing is a comment. @throws KUBEFILE_INVALID, CONTEXT_INVALID. */
export function parsePatterns(patterns: readonly string[]): IgnoreRules {
  return patterns.map((pattern, index) => parseRule(pattern, index + 1))
}

/** Files and directories follow the same rules: a rule for a directory holds for all below it. */
export function isIgnored(rules: IgnoreRules, path: string): boolean {
  const last = rules.findLast(rule => walk(rule.tokens, path).matches)
  return last !== undefined && !last.isException
}

/** Whether an exception may re-include something below an ignored directory; if not, it need not be read. */
export function mayReinclude(rules: IgnoreRules, directory: string): boolean {
  for (const rule of rules.toReversed()) {
    const { matches, mayGoOn } = walk(rule.tokens, `${directory}/`)
    if (rule.isException && mayGoOn) return true
    if (!rule.isException && matches) return false
  }
  return false
}

function parseRule(line: string, number: number): IgnoreRule {
  const isException = line.startsWith('!')
  const written = isException ? line.slice(1).trim() : line
  if (written === '') {
    throw new CloudimgError('CONTEXT_INVALID', `reading ignore rules: line ${number} is "!" and names nothing`, {
      hint: 'write the pattern behind the "!"',
    })
  }
  const clean = posix
    .normalize(written)
    .replace(/(?<=.)\/$/, '')
    .replace(/^\/(?=.)/, '')
  return { isException, tokens: parseTokens(clean) }
}

function parseTokens(pattern: string): IgnoreToken[] {
  const characters = Array.from(pattern)
  const tokens: IgnoreToken[] = []
  for (let at = 0; at < characters.length;) {
    if (characters[at] === '*' && characters[at + 1] === '*') {
      at += characters[at + 2] === '/' ? 3 : 2
      if (at < characters.length) tokens.push({ kind: 'directories' }, { kind: 'inside' })
      else tokens.push({ kind: 'anything' })
    } else {
      const { token, next } = parseToken(pattern, characters, at)
      tokens.push(token)
      at = next
    }
  }
  return tokens
}

/**
 * All ways through the pattern at once. `matches`: the pattern matches the path or one of its parents. `mayGoOn`: it
 * could match a longer path.
 */
function walk(tokens: readonly IgnoreToken[], path: string): { readonly matches: boolean; readonly mayGoOn: boolean } {
  let reached = closure(new Set([0]), tokens)
  for (const char of path) {
    if (char === '/' && reached.has(tokens.length)) return { matches: true, mayGoOn: true }
    reached = closure(step(reached, tokens, char), tokens)
    if (reached.size === 0) return { matches: false, mayGoOn: false }
  }
  return { matches: reached.has(tokens.length), mayGoOn: true }
}

function step(reached: ReadonlySet<number>, tokens: readonly IgnoreToken[], char: string): Set<number> {
  const next = new Set<number>()
  for (const at of reached) {
    const token = tokens[at]
    if (token === undefined) continue
    if (token.kind === 'anything') next.add(at)
    else if (token.kind === 'directories') next.add(at + 1).add(char === '/' ? at + 2 : at + 1)
    else if (token.kind === 'inside') next.add(at).add(char === '/' ? at + 1 : at)
    else if (takes(token, char)) next.add(token.kind === 'star' ? at : at + 1)
  }
  return next
}

/** With the places behind tokens that may take nothing. */
function closure(reached: Set<number>, tokens: readonly IgnoreToken[]): Set<number> {
  for (const at of reached) {
    const kind = tokens[at]?.kind
    if (kind === 'star' || kind === 'anything') reached.add(at + 1)
    if (kind === 'directories') reached.add(at + 2)
  }
  return reached
}
