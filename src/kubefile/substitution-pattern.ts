/** A shell pattern without bracket expressions: `*` any text, `?` one character, `\x` that character (POSIX 2.13.1, 2.13.2). */
export type SubstitutionPattern = readonly (string | typeof anyText | typeof anyCharacter)[]

const anyText = Symbol('*')
const anyCharacter = Symbol('?')

export class SubstitutionPatternError extends Error {}

/** @throws SubstitutionPatternError for an escape before anything but `* ? / }` and the escape itself. */
export function parseSubstitutionPattern(text: string, escape: string): SubstitutionPattern {
  const tokens: SubstitutionPattern[number][] = []
  const characters = Array.from(text)
  for (let at = 0; at < characters.length; at++) {
    const char = characters[at]!
    if (char === '*') tokens.push(anyText)
    else if (char === '?') tokens.push(anyCharacter)
    else if (char !== escape) tokens.push(char)
    else {
      const next = characters[++at]
      if (next === undefined || !['*', '?', '/', '}', escape].includes(next)) {
        throw new SubstitutionPatternError(`"${escape}${next ?? ''}" is no escape of a pattern`)
      }
      tokens.push(next)
    }
  }
  return tokens
}

/** `${x#p}`, `${x##p}`: without the shortest or longest matching beginning. */
export function trimPrefix(value: string, pattern: SubstitutionPattern, longest: boolean): string {
  const characters = Array.from(value)
  const end = matchEnd(characters, 0, pattern, longest)
  return end === undefined ? value : characters.slice(end).join('')
}

/** `${x%p}`, `${x%%p}`: without the shortest or longest matching end. */
export function trimSuffix(value: string, pattern: SubstitutionPattern, longest: boolean): string {
  const characters = Array.from(value).reverse()
  const end = matchEnd(characters, 0, pattern.toReversed(), longest)
  return end === undefined ? value : characters.slice(end).reverse().join('')
}

/** `${x/p/r}`, `${x//p/r}`: the first or every longest match replaced. */
export function replaceMatches(
  value: string,
  pattern: SubstitutionPattern,
  replacement: string,
  everywhere: boolean,
): string {
  const characters = Array.from(value)
  const starts = matchStarts(characters, pattern)
  let out = ''
  let at = 0
  while (at <= characters.length) {
    const end = starts.has(at) ? matchEnd(characters, at, pattern, true) : undefined
    if (end === undefined) {
      out += characters[at++] ?? ''
      continue
    }
    out += replacement
    // An empty match stands before a character, which is kept.
    if (end === at) out += characters[at] ?? ''
    at = Math.max(end, at + 1)
    if (!everywhere || end === characters.length) break
  }
  return out + characters.slice(at).join('')
}

/** Where matches can begin: one walk from the end, instead of one from every character. */
function matchStarts(characters: readonly string[], pattern: SubstitutionPattern): ReadonlySet<number> {
  const reversed = pattern.toReversed()
  const starts = new Set<number>()
  let reached = closure(new Set([0]), reversed)
  for (let at = characters.length; ; at--) {
    if (reached.has(pattern.length)) starts.add(at)
    if (at === 0) return starts
    reached = closure(step(reached, reversed, characters[at - 1]!).add(0), reversed)
  }
}

/** Where a match that begins at `from` ends. Walks all matches at once: characters × tokens, whatever the pattern. */
function matchEnd(
  characters: readonly string[],
  from: number,
  pattern: SubstitutionPattern,
  longest: boolean,
): number | undefined {
  let reached = closure(new Set([0]), pattern)
  let end: number | undefined
  for (let at = from; reached.size > 0; at++) {
    if (reached.has(pattern.length)) {
      end = at
      if (!longest) return end
    }
    if (at >= characters.length) break
    reached = closure(step(reached, pattern, characters[at]!), pattern)
  }
  return end
}

function step(reached: ReadonlySet<number>, pattern: SubstitutionPattern, char: string): Set<number> {
  const next = new Set<number>()
  for (const token of reached) {
    const wanted = pattern[token]
    if (wanted === anyText) next.add(token)
    else if (wanted === anyCharacter || wanted === char) next.add(token + 1)
  }
  return next
}

/** With the places behind every `*` that may match nothing. */
function closure(reached: Set<number>, pattern: SubstitutionPattern): Set<number> {
  for (const token of reached) if (pattern[token] === anyText) reached.add(token + 1)
  return reached
}
