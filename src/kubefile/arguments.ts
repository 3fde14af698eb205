import type { Diagnostic, Span } from '../core/diagnostic.ts'
import type { Escape, Flag, Heredoc, Pair, Word } from './ast.ts'
import { checkWord, expansionDiagnostic } from './expand.ts'
import type { InstructionSpec } from './instructions.ts'
import { parseJsonStrings } from './json-form.ts'
import { type LogicalText, spanOf, wordOf } from './logical-text.ts'
import { type Range, splitWords } from './words.ts'

/** What all instructions carry beside their own fields. */
export interface Common {
  readonly span: Span
  readonly flags: readonly Flag[]
  readonly comments: readonly string[]
  readonly original: string
}

/** One instruction's arguments while they are read: `line.text` from `start` on. */
export interface Arguments {
  readonly spec: InstructionSpec
  readonly common: Common
  readonly keyword: Range
  readonly line: LogicalText
  readonly start: number
  readonly escape: Escape
  readonly heredocs: ReadonlyMap<number, Heredoc>
  readonly diagnostics: Diagnostic[]
}

export type Reporter = Pick<Arguments, 'line' | 'diagnostics'>

export function report(to: Reporter, rule: string, message: string, at: Range, hint?: string): undefined {
  const span = spanOf(to.line, at.start, at.end)
  to.diagnostics.push({ severity: 'error', rule, message, span, ...(hint === undefined ? {} : { hint }) })
  return undefined
}

/** All arguments as one range, the line's end where there are none. */
export function allOf({ line, start }: Arguments): Range {
  return { start, end: line.text.length }
}

/** Reports that the instruction wants other arguments than it has. */
export function wrongArguments(args: Arguments, message: string, at?: Range): undefined {
  const whole = allOf(args)
  const isEmpty = whole.start >= whole.end
  return report(args, 'arguments', message, at ?? (isEmpty ? args.keyword : whole), `write ${args.spec.usage}`)
}

/** The words, if there are as many as the instruction takes. */
export function wordsOf(args: Arguments): readonly Range[] | undefined {
  const { kind, min, max } = args.spec
  const words = splitWords(args.line.text, args.start, args.escape)
  const count = words.length
  if (count < min) {
    return wrongArguments(args, count === 0 ? `${kind} has no arguments` : `${kind} has too few arguments`)
  }
  const extra = words[max]
  const comment = max === Infinity ? undefined : words.slice(min).find(({ start }) => args.line.text[start] === '#')
  if (comment !== undefined) return commentBehind(args, comment)
  if (extra !== undefined) {
    return wrongArguments(args, `${kind} has too many arguments`, { start: extra.start, end: args.line.text.length })
  }
  return words
}

function commentBehind(args: Arguments, at: Range): undefined {
  const range = { start: at.start, end: args.line.text.length }
  return report(
    args,
    'arguments',
    `"#" begins no comment behind ${args.spec.kind}`,
    range,
    'give the comment a line of its own',
  )
}

/** The range as a word; in an instruction that expands, its variables and quotes are checked. */
export function wordAt(args: Arguments, { start, end }: Range): Word {
  const word = wordOf(args.line, start, end)
  if (args.spec.expands) checkExpansion(args, word)
  return word
}

export function checkExpansion(args: Arguments, word: Word): void {
  const error = checkWord(word.text, args.escape)
  if (error !== undefined) args.diagnostics.push(expansionDiagnostic(error, word))
}

/** The rest of the line as one word. */
export function lineOf(args: Arguments): Word | undefined {
  const whole = allOf(args)
  if (whole.start >= whole.end) return wrongArguments(args, `${args.spec.kind} has no argument`)
  return wordAt(args, whole)
}

export type JsonWords =
  | { readonly kind: 'strings'; readonly words: readonly Word[] }
  | { readonly kind: 'no-json' }
  | { readonly kind: 'wrong' }

/** A JSON array of strings from `start` on; what is clearly meant as one and is none is reported. */
export function jsonWordsOf(args: Arguments, start = args.start): JsonWords {
  const { line } = args
  const range = { start, end: line.text.length }
  const form = parseJsonStrings(line.text, start)
  if (form.kind === 'other-array') {
    report(args, 'json-form', 'only strings may stand in the array', range, 'put every element in double quotes')
    return { kind: 'wrong' }
  }
  if (form.kind === 'no-json') {
    if (/^\[\s*["']/.test(line.text.slice(start))) warnOfNoJson(args, range)
    return { kind: 'no-json' }
  }
  const words = form.items.map(({ start, end, text }) => ({ text, span: spanOf(line, start, end) }))
  if (args.spec.expands) for (const word of words) checkExpansion(args, word)
  return { kind: 'strings', words }
}

function warnOfNoJson(args: Arguments, range: Range): void {
  if (args.spec.json === 'required') return
  args.diagnostics.push({
    severity: 'warning',
    rule: 'json-form',
    message: 'this looks like a JSON array and is none, so it is taken as plain text',
    span: spanOf(args.line, range.start, range.end),
    hint: 'use double quotes, commas between the elements, and no text behind the "]"',
  })
}

/** `NAME=VALUE` at the first `=` that is not quoted, NAME alone where there is none. */
export function pairAt(args: Arguments, range: Range): Pair | undefined {
  const text = args.line.text.slice(range.start, range.end)
  const equals = equalsIndex(text)
  if (equals === 0) return report(args, 'arguments', 'no name stands before "="', range, `write ${args.spec.usage}`)
  const end = equals === undefined ? range.end : range.start + equals
  const key = wordAt(args, { start: range.start, end })
  return { key, value: equals === undefined ? undefined : wordAt(args, { start: end + 1, end: range.end }) }
}

function equalsIndex(text: string): number | undefined {
  let quote: string | undefined
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!
    if (quote !== undefined) quote = char === quote ? undefined : quote
    else if (char === '"' || char === "'") quote = char
    else if (char === '=') return at
  }
  const any = text.indexOf('=')
  return any < 0 ? undefined : any
}
