import { CloudimgError } from '../core/error.ts'

/** One place of a pattern, and which character it takes. */
export type PatternToken =
  | { readonly kind: 'literal'; readonly char: string }
  /** `?`: one character but `/`. */
  | { readonly kind: 'one' }
  /** `*`: any number of them. */
  | { readonly kind: 'star' }
  | { readonly kind: 'class'; readonly isNegated: boolean; readonly ranges: readonly (readonly [string, string])[] }

/**
 * Go's filepath.Match: `*` and `?` never take a `/`, classes are `[a-z]` and `[^a-z]`, `\x` is x itself. The whole name
 * must match; `**` is no more than `*`.
 * @throws KUBEFILE_INVALID for a malformed pattern.
 */
export function matchPattern(pattern: string, name: string): boolean {
  const tokens = parsePattern(pattern)
  const characters = Array.from(name)
  let token = 0
  let at = 0
  let star: { readonly token: number; at: number } | undefined
  while (at < characters.length || token < tokens.length) {
    const wanted = tokens[token]
    const char = characters[at]
    if (wanted?.kind === 'star') star = { token: ++token, at }
    else if (wanted !== undefined && char !== undefined && takes(wanted, char)) [token, at] = [token + 1, at + 1]
    else if (star === undefined || star.at >= characters.length || characters[star.at] === '/') return false
    else [token, at] = [star.token, ++star.at]
  }
  return true
}

/** Whether COPY treats the text as a pattern at all. */
export function hasWildcards(text: string): boolean {
  return /[*?[\\]/.test(text)
}

/** @throws KUBEFILE_INVALID for a malformed pattern. */
export function parsePattern(pattern: string): PatternToken[] {
  const characters = Array.from(pattern)
  const tokens: PatternToken[] = []
  for (let at = 0; at < characters.length;) {
    const { token, next } = parseToken(pattern, characters, at)
    tokens.push(token)
    at = next
  }
  return tokens
}

/** The token that begins at `characters[at]`, and where the next begins. */
export function parseToken(pattern: string, characters: readonly string[], at: number) {
  const char = characters[at]!
  if (char === '*') return { token: { kind: 'star' } as const, next: at + 1 }
  if (char === '?') return { token: { kind: 'one' } as const, next: at + 1 }
  if (char === '[') return parseClass(pattern, characters, at + 1)
  if (char !== '\\') return { token: { kind: 'literal', char } as const, next: at + 1 }
  const escaped = characters[at + 1]
  if (escaped === undefined) return badPattern(pattern, 'it ends with "\\"')
  return { token: { kind: 'literal', char: escaped } as const, next: at + 2 }
}

/** From behind `[`. A class has at least one character; `-` and `]` in it are escaped. */
function parseClass(pattern: string, characters: readonly string[], start: number) {
  const isNegated = characters[start] === '^'
  const ranges: [string, string][] = []
  let at = isNegated ? start + 1 : start
  const character = (): string => {
    const isEscaped = characters[at] === '\\'
    const char = characters[isEscaped ? at + 1 : at]
    if (char === undefined) return badPattern(pattern, '"[" is not closed')
    if (!isEscaped && (char === '-' || char === ']')) return badPattern(pattern, `"${char}" in a class needs "\\"`)
    at += isEscaped ? 2 : 1
    return char
  }
  do {
    const low = character()
    if (characters[at] !== '-') ranges.push([low, low])
    else {
      at++
      ranges.push([low, character()])
    }
  } while (characters[at] !== ']')
  return { token: { kind: 'class', isNegated, ranges } as const, next: at + 1 }
}

function badPattern(pattern: string, why: string): never {
  throw new CloudimgError('KUBEFILE_INVALID', `reading pattern "${pattern}": ${why}`, {
    hint: 'write "\\" before a character that stands for itself',
  })
}

/** Whether the token takes that one character. Like Go's, a class takes `/` too. */
export function takes(token: PatternToken, char: string): boolean {
  switch (token.kind) {
    case 'literal':
      return char === token.char
    case 'one':
    case 'star':
      return char !== '/'
    case 'class': {
      const code = char.codePointAt(0)!
      const isListed = token.ranges.some(([low, high]) => low.codePointAt(0)! <= code && code <= high.codePointAt(0)!)
      return isListed !== token.isNegated
    }
  }
}
