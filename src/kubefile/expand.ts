// Longer than most files: one pass over one word, whose readers call each other.
import { CloudimgError } from '../core/error.ts'
import type { Diagnostic } from '../core/diagnostic.ts'
import { type Escape, type Word, spanInWord } from './ast.ts'
import {
  SubstitutionPatternError,
  parseSubstitutionPattern,
  replaceMatches,
  trimPrefix,
  trimSuffix,
} from './substitution-pattern.ts'

/** The value of a variable; undefined where it is not set. */
export type Lookup = (name: string) => string | undefined

export interface ExpandOptions {
  /** Default `\`. Heredoc bodies always use `\`. */
  readonly escape?: Escape
  /** `remove` (default) gives quotes their meaning; `keep` takes them as any character, as heredoc bodies want. */
  readonly quotes?: 'remove' | 'keep'
}

export interface Expansion {
  readonly value: string
  /** Variables that count as empty because they are not set, each once; those with a default do not count. */
  readonly unset: readonly string[]
}

export interface WordsExpansion {
  readonly values: readonly string[]
  readonly unset: readonly string[]
}

/** `index` and `end` say which part of the word's text is wrong. */
export class ExpansionError extends CloudimgError {
  readonly index: number
  readonly end: number
  readonly reason: string

  constructor(text: string, reason: string, range: { readonly index: number; readonly end: number }, hint?: string) {
    super('KUBEFILE_INVALID', `expanding "${text}": ${reason}`, hint === undefined ? {} : { hint })
    this.index = range.index
    this.end = range.end
    this.reason = reason
  }
}

/** No word needs more; nested replacements could fill any memory. */
const maxLength = 1024 * 1024
const maxDepth = 100

/**
 * Quotes, escapes and variables of one word replaced as docker does it (dockerfile reference, "Environment replacement").
 * Blanks in values do not split the word. An unset variable is empty.
 * @throws ExpansionError for `${x:?message}` of an unset variable, bad substitutions, open quotes.
 */
export function expandWord(text: string, lookup: Lookup, options: ExpandOptions = {}): Expansion {
  const { pieces, unset } = expandPieces(text, lookup, options)
  return { value: pieces.map(piece => piece.text).join(''), unset }
}

/** As `expandWord`, then split at the blanks that are not quoted, those of variables included. Only EXPOSE does that. */
export function expandWords(text: string, lookup: Lookup, options: ExpandOptions = {}): WordsExpansion {
  const { pieces, unset } = expandPieces(text, lookup, options)
  const values = ['']
  for (const { text: piece, isQuoted } of pieces) {
    for (const [index, part] of (isQuoted ? [piece] : piece.split(/\s+/)).entries()) {
      values.push(index === 0 ? `${values.pop() ?? ''}${part}` : part)
    }
  }
  return { values: values.filter(value => value !== ''), unset }
}

/** What is wrong with the word whatever the variables hold, or undefined. */
export function checkWord(text: string, escape: Escape): ExpansionError | undefined {
  try {
    expandWord(text, () => 'x', { escape })
    return undefined
  } catch (error) {
    if (error instanceof ExpansionError) return error
    throw error
  }
}

/** The error where it stands in the Kubefile; the whole word where continuations make the exact place unknown. */
export function expansionDiagnostic(error: ExpansionError, word: Word): Diagnostic {
  return {
    severity: 'error',
    rule: 'expansion',
    message: error.reason,
    span: spanInWord(word, error.index, error.end),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  }
}

interface Piece {
  readonly text: string
  readonly isQuoted: boolean
}

/** A pass over one word. `at` moves; everything else stays. */
interface Cursor {
  readonly text: string
  readonly lookup: Lookup
  readonly escape: Escape
  readonly quotes: 'remove' | 'keep'
  readonly unset: Set<string>
  at: number
  depth: number
  /** More than 0 in a default or alternative that is not taken: only its syntax matters. */
  untaken: number
}

function expandPieces(text: string, lookup: Lookup, options: ExpandOptions) {
  const { escape = '\\', quotes = 'remove' } = options
  const cursor: Cursor = { text, lookup, escape, quotes, unset: new Set(), at: 0, depth: 0, untaken: 0 }
  const pieces = readUntil(cursor, undefined, 'remove')
  return { pieces, unset: [...cursor.unset] }
}

/**
 * Reads up to and over `stop`, to the end where there is none. `escapes` says whether escape characters stay, as
 * patterns want it.
 */
function readUntil(cursor: Cursor, stop: string | undefined, escapes: 'remove' | 'keep'): Piece[] {
  const pieces: Piece[] = []
  let length = 0
  const add = (text: string, isQuoted: boolean): void => {
    length += text.length
    if (length > maxLength) fail(cursor, 'the value is longer than 1 MiB', 0)
    pieces.push({ text, isQuoted })
  }
  const { text, escape, quotes } = cursor
  while (cursor.at < text.length) {
    const char = text[cursor.at]!
    if (char === stop) {
      cursor.at++
      return pieces
    }
    if (char === '$') add(readVariable(cursor), false)
    else if (char === "'" && quotes === 'remove') add(readSingleQuoted(cursor), true)
    else if (char === '"' && quotes === 'remove') add(readDoubleQuoted(cursor, escapes), true)
    else if (char === escape) add(readEscape(cursor, escapes), true)
    else {
      cursor.at++
      add(char, false)
    }
  }
  if (stop !== undefined) throw new MissingStop(stop)
  return pieces
}

/** Turned into an ExpansionError by whoever knows where the unfinished thing began. */
class MissingStop extends Error {
  readonly stop: string
  constructor(stop: string) {
    super(`missing ${stop}`)
    this.stop = stop
  }
}

function fail(cursor: Cursor, reason: string, from: number, hint?: string): never {
  throw new ExpansionError(cursor.text, reason, { index: from, end: Math.max(cursor.at, from + 1) }, hint)
}

/** An escape character at the very end is dropped. */
function readEscape(cursor: Cursor, escapes: 'remove' | 'keep'): string {
  const next = cursor.text[cursor.at + 1] ?? ''
  cursor.at += 1 + next.length
  return escapes === 'keep' ? cursor.escape + next : next
}

function readSingleQuoted(cursor: Cursor): string {
  const start = cursor.at
  const end = cursor.text.indexOf("'", start + 1)
  if (end < 0) {
    cursor.at = cursor.text.length
    fail(cursor, "a single quote ' is not closed", start, `close it, or write ${cursor.escape}' for the character`)
  }
  cursor.at = end + 1
  return cursor.text.slice(start + 1, end)
}

/** Inside double quotes an escape protects only `"`, `$` and itself, and is a plain character before others. */
function readDoubleQuoted(cursor: Cursor, escapes: 'remove' | 'keep'): string {
  const start = cursor.at++
  const { text, escape } = cursor
  let out = ''
  while (cursor.at < text.length) {
    const char = text[cursor.at]!
    if (char === '"') {
      cursor.at++
      return out
    }
    const next = text[cursor.at + 1]
    if (char === '$') out += readVariable(cursor)
    else if (char === escape && (next === '"' || next === '$' || next === escape)) out += readEscape(cursor, escapes)
    else {
      cursor.at++
      out += char
    }
  }
  fail(cursor, 'a double quote " is not closed', start, `close it, or write ${escape}" for the character`)
}

/** Letters, digits and `_`; digits alone where it begins with one; or one of the shell's special parameters. */
const namePattern = /[0-9]+|[@*#?$!-]|[\p{L}_][\p{L}\p{Nd}_]*/uy

function readName(cursor: Cursor): string {
  namePattern.lastIndex = cursor.at
  const name = namePattern.exec(cursor.text)?.[0] ?? ''
  cursor.at += name.length
  return name
}

function valueOf(cursor: Cursor, name: string): string {
  const value = cursor.lookup(name)
  if (value === undefined && cursor.untaken === 0) cursor.unset.add(name)
  return value ?? ''
}

function readVariable(cursor: Cursor): string {
  const start = cursor.at++
  if (cursor.text[cursor.at] !== '{') {
    const name = readName(cursor)
    return name === '' ? '$' : valueOf(cursor, name)
  }
  cursor.at++
  if (++cursor.depth > maxDepth) fail(cursor, `variables are nested more than ${maxDepth} deep`, start)
  try {
    const value = readSubstitution(cursor, start)
    cursor.depth--
    return value
  } catch (error) {
    if (!(error instanceof MissingStop)) throw error
    cursor.at = cursor.text.length
    if (error.stop === '/') fail(cursor, 'a replacement has no second "/"', start, 'write ${name/pattern/replacement}')
    fail(cursor, '"${" has no "}"', start, 'close the braces')
  }
}

/** From behind `${` to behind `}`. */
function readSubstitution(cursor: Cursor, start: number): string {
  const { text } = cursor
  if (cursor.at >= text.length) throw new MissingStop('}')
  const name = readName(cursor)
  const isColon = text[cursor.at] === ':'
  const operator = text[isColon ? cursor.at + 1 : cursor.at]
  if (operator === undefined) throw new MissingStop('}')
  if (name === '')
    fail(
      cursor,
      'bad substitution: no name stands behind "${"',
      start,
      `write \${NAME}, or ${cursor.escape}$ for the character`,
    )
  cursor.at += isColon ? 2 : 1
  if (operator === '}' && !isColon) return valueOf(cursor, name)
  if (operator === '-' || operator === '+' || operator === '?') {
    return readConditional(cursor, { name, operator, isColon, start })
  }
  if ((operator === '#' || operator === '%') && !isColon) return readTrim(cursor, name, operator, start)
  if (operator === '/' && !isColon) return readReplacement(cursor, name, start)
  fail(
    cursor,
    `bad substitution: "${isColon ? ':' : ''}${operator}" is no modifier`,
    start,
    operator === '='
      ? `write \${${name}:-value}; nothing can be assigned here`
      : 'use one of :- - :+ + :? ? # ## % %% / //',
  )
}

interface Conditional {
  readonly name: string
  readonly operator: '-' | '+' | '?'
  /** With a colon, an empty value counts as none. */
  readonly isColon: boolean
  readonly start: number
}

function readConditional(cursor: Cursor, { name, operator, isColon, start }: Conditional): string {
  const value = cursor.lookup(name)
  const isMissing = value === undefined || (isColon && value === '')
  const isTaken = operator === '+' ? !isMissing : isMissing
  if (!isTaken) cursor.untaken++
  const word = readText(cursor, '}', 'remove')
  if (!isTaken) cursor.untaken--
  if (isTaken && operator !== '?') return word
  if (operator === '+') return ''
  if (!isTaken || cursor.untaken > 0) return value ?? ''
  const why = value === undefined ? 'is not set' : 'is empty'
  fail(
    cursor,
    `${name}: ${word === '' ? why : word}`,
    start,
    `pass --build-arg ${name}=… or give ARG ${name} a default`,
  )
}

function readTrim(cursor: Cursor, name: string, operator: '#' | '%', start: number): string {
  const word = readText(cursor, '}', 'keep')
  const value = valueOf(cursor, name)
  const longest = word.startsWith(operator)
  const pattern = patternOf(cursor, longest ? word.slice(1) : word, start)
  return operator === '#' ? trimPrefix(value, pattern, longest) : trimSuffix(value, pattern, longest)
}

/** The replacement keeps its escape characters, as docker's does. */
function readReplacement(cursor: Cursor, name: string, start: number): string {
  const everywhere = cursor.text[cursor.at] === '/'
  if (everywhere) cursor.at++
  const word = readText(cursor, '/', 'keep')
  const replacement = readText(cursor, '}', 'keep')
  const value = valueOf(cursor, name)
  return replaceMatches(value, patternOf(cursor, word, start), replacement, everywhere)
}

function readText(cursor: Cursor, stop: '}' | '/', escapes: 'remove' | 'keep'): string {
  return readUntil(cursor, stop, escapes)
    .map(piece => piece.text)
    .join('')
}

function patternOf(cursor: Cursor, word: string, start: number) {
  try {
    return parseSubstitutionPattern(word, cursor.escape)
  } catch (error) {
    if (!(error instanceof SubstitutionPatternError)) throw error
    fail(cursor, `bad pattern "${word}": ${error.message}`, start)
  }
}
