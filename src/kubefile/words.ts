import type { Escape } from './ast.ts'

/** A piece of a logical line: `[start, end)`. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** Blanks of a Kubefile's line. Line feeds never occur in one; a carriage return is a blank. */
export function isBlank(char: string | undefined): boolean {
  return char === ' ' || char === '\t' || char === '\r' || char === '\v' || char === '\f'
}

export function skipBlanks(text: string, at: number): number {
  while (isBlank(text[at])) at++
  return at
}

/** The end of `text` without the blanks before it. */
export function trimmedEnd(text: string, from = 0): number {
  let end = text.length
  while (end > from && isBlank(text[end - 1])) end--
  return end
}

/** Where the word ends that begins at `start`: at a blank outside quotes. Inside single quotes nothing is escaped. */
export function endOfWord(text: string, start: number, escape: Escape): number {
  let quote: string | undefined
  let at = start
  for (; at < text.length; at++) {
    const char = text[at]!
    if (char === escape && quote !== "'") at++
    else if (quote !== undefined) quote = char === quote ? undefined : quote
    else if (char === "'" || char === '"') quote = char
    else if (isBlank(char)) return at
  }
  return text.length
}

export function splitWords(text: string, from: number, escape: Escape): Range[] {
  const words: Range[] = []
  for (let start = skipBlanks(text, from); start < text.length;) {
    const end = endOfWord(text, start, escape)
    words.push({ start, end })
    start = skipBlanks(text, end)
  }
  return words
}

/** An instruction's line taken apart as far as all instructions agree: the word, its flags, where the arguments begin. */
export interface Head {
  readonly keyword: Range
  readonly flags: readonly Range[]
  readonly rest: number
}

/** Flags stand directly behind the keyword; `--` ends them and is not an argument. */
export function splitHead(text: string, from: number, escape: Escape): Head {
  const start = skipBlanks(text, from)
  let end = start
  while (end < text.length && !isBlank(text[end])) end++
  const flags: Range[] = []
  let rest = skipBlanks(text, end)
  while (text.startsWith('--', rest)) {
    const flag = { start: rest, end: endOfWord(text, rest, escape) }
    rest = skipBlanks(text, flag.end)
    if (flag.end - flag.start === 2) break
    flags.push(flag)
  }
  return { keyword: { start, end }, flags, rest }
}

/** The word without its quotes and escapes, variables left as they are. An open quote ends with the word. */
export function unquoteWord(text: string, escape: Escape): string {
  let quote: string | undefined
  let out = ''
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!
    const next = text[at + 1]
    if (char === escape && quote !== "'") {
      const isProtected = quote === undefined || next === '"' || next === '$' || next === escape
      if (!isProtected) out += char
      else if (next !== undefined) out += text[++at]!
    } else if (quote !== undefined ? char === quote : char === "'" || char === '"') {
      quote = quote === undefined ? char : undefined
    } else {
      out += char
    }
  }
  return out
}
