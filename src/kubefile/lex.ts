import type { Diagnostic } from '../core/diagnostic.ts'
import type { Directive, Escape, Heredoc } from './ast.ts'
import { type HeredocStart, findHeredocs } from './heredoc.ts'
import { type LogicalText, type SourceLines, indexLines, positionAt, spanAt, spanOf } from './logical-text.ts'
import { isBlank, skipBlanks, trimmedEnd } from './words.ts'

/** One instruction's line, continuations joined, with what belongs to it. */
export interface LogicalLine {
  readonly text: LogicalText
  readonly comments: readonly string[]
  /** By the index in `text` at which the heredoc is announced. */
  readonly heredocs: ReadonlyMap<number, Heredoc>
  /** The offset after the line and its heredocs. */
  readonly end: number
}

export interface LexedKubefile {
  readonly escape: Escape
  readonly directives: readonly Directive[]
  readonly lines: readonly LogicalLine[]
  readonly trailingComments: readonly string[]
  readonly diagnostics: readonly Diagnostic[]
}

interface PhysicalLine {
  readonly start: number
  /** Without the line end. */
  readonly end: number
  readonly text: string
}

interface Lexer {
  readonly lines: SourceLines
  readonly diagnostics: Diagnostic[]
  readonly directives: Directive[]
  escape: Escape
  /** The number of the next physical line, from 0. */
  next: number
  comments: string[]
}

const directivePattern = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)$/s
const directiveNames = new Set(['syntax', 'escape', 'check'])

/** Text → logical lines. Never throws; what is wrong is in `diagnostics`. */
export function lexKubefile(source: string): LexedKubefile {
  const lexer: Lexer = {
    lines: indexLines(source),
    diagnostics: [],
    directives: [],
    escape: '\\',
    next: 0,
    comments: [],
  }
  const lines: LogicalLine[] = []
  readDirectives(lexer)
  while (lexer.next < lexer.lines.starts.length) {
    const line = readLogicalLine(lexer)
    if (line !== undefined) lines.push(line)
  }
  const { escape, directives, comments: trailingComments, diagnostics } = lexer
  return { escape, directives, lines, trailingComments, diagnostics }
}

function physicalLine({ lines: { source, starts } }: Lexer, number: number): PhysicalLine | undefined {
  const start = starts[number]
  if (start === undefined) return undefined
  let end = (starts[number + 1] ?? source.length + 1) - 1
  while (end > start && source[end - 1] === '\r') end--
  return { start, end, text: source.slice(start, end) }
}

/** Directives stand at the very top; the first line that is none ends them. */
function readDirectives(lexer: Lexer): void {
  for (let line = physicalLine(lexer, 0); line !== undefined; line = physicalLine(lexer, ++lexer.next)) {
    const blanks = skipBlanks(line.text, 0)
    const match = directivePattern.exec(line.text.slice(blanks))
    const name = match?.[1]?.toLowerCase()
    const value = match?.[2]?.trimEnd()
    if (name === undefined || value === undefined || !directiveNames.has(name)) return
    addDirective(lexer, { name, value, span: spanAt(lexer.lines, line.start + blanks, line.end) })
  }
}

/** Whether a line would be a directive at the top of a file. */
export function isDirective(line: string): boolean {
  return directiveNames.has(directivePattern.exec(line)?.[1]?.toLowerCase() ?? '')
}

function addDirective(lexer: Lexer, directive: Directive): void {
  const { name, value, span } = directive
  if (lexer.directives.some(other => other.name === name)) {
    const hint = `keep one "# ${name}=" line`
    lexer.diagnostics.push({ severity: 'error', rule: 'directive', message: `directive "${name}" twice`, span, hint })
  } else if (name === 'escape' && value !== '\\' && value !== '`') {
    const message = `escape character "${value}" is neither "\\" nor "\`"`
    lexer.diagnostics.push({
      severity: 'error',
      rule: 'directive',
      message,
      span,
      hint: 'write # escape=` or leave it out',
    })
  } else if (name === 'escape') {
    lexer.escape = value === '`' ? '`' : '\\'
  }
  lexer.directives.push(directive)
}

/** Reads blank lines and comments up to the next instruction, and the instruction with all its lines. */
function readLogicalLine(lexer: Lexer): LogicalLine | undefined {
  const joined = { text: '', offsets: [] as number[] }
  const blankLines: PhysicalLine[] = []
  let started = false
  for (let line = physicalLine(lexer, lexer.next); line !== undefined; line = physicalLine(lexer, ++lexer.next)) {
    const first = skipBlanks(line.text, 0)
    if (line.text[first] === '#') {
      lexer.comments.push(
        line.text
          .slice(first + 1)
          .replace(/^ /, '')
          .trimEnd(),
      )
    } else if (first === line.text.length) {
      if (started) blankLines.push(line)
    } else {
      const end = continuationIndex(line.text, lexer.escape)
      append(joined, line, started ? 0 : first, end ?? line.text.length)
      started = true
      if (end === undefined) {
        lexer.next++
        break
      }
    }
  }
  const length = joinedEnd(joined.text, lexer.escape)
  if (length === 0) return undefined
  warnOfBlankLines(lexer, blankLines)
  const text = { lines: lexer.lines, text: joined.text.slice(0, length), offsets: joined.offsets.slice(0, length) }
  const { comments } = lexer
  lexer.comments = []
  return { text, comments, ...readHeredocs(lexer, text) }
}

/** Where the continued text ends: before an escape character at the line's end that no other escapes. */
function continuationIndex(text: string, escape: Escape): number | undefined {
  const last = trimmedEnd(text) - 1
  return text[last] === escape && text[last - 1] !== escape ? last : undefined
}

/** Without the blanks at the end, and without an escape character that would then stand last and continue the line. */
function joinedEnd(text: string, escape: Escape): number {
  let end = trimmedEnd(text)
  while (end > 0 && text[end - 1] === escape && text[end - 2] !== escape) {
    end--
    while (isBlank(text[end - 1])) end--
  }
  return end
}

function append(to: { text: string; offsets: number[] }, line: PhysicalLine, from: number, end: number): void {
  to.text += line.text.slice(from, end)
  for (let at = from; at < end; at++) to.offsets.push(line.start + at)
}

/** Told of once, mended all at once. */
function warnOfBlankLines(lexer: Lexer, blankLines: readonly PhysicalLine[]): void {
  const [line] = blankLines
  if (line === undefined) return
  const { starts, source } = lexer.lines
  const edits = blankLines.map(({ start }) => ({
    start,
    end: starts[positionAt(lexer.lines, start).line] ?? source.length,
    text: '',
  }))
  lexer.diagnostics.push({
    severity: 'warning',
    rule: 'blank-continuation-line',
    message: 'blank line inside a continued instruction',
    span: spanAt(lexer.lines, line.start, line.end),
    hint: 'delete the blank line, or make it a comment',
    fix: edits.filter(({ start, end }) => end > start),
  })
}

function readHeredocs(lexer: Lexer, text: LogicalText): Pick<LogicalLine, 'heredocs' | 'end'> {
  const heredocs = new Map<number, Heredoc>()
  let end = text.offsets.at(-1)! + 1
  for (const start of findHeredocs(text.text, lexer.escape)) {
    const heredoc = readHeredoc(lexer, text, start)
    heredocs.set(start.word.start, heredoc)
    end = physicalLine(lexer, lexer.next - 1)?.end ?? end
  }
  return { heredocs, end }
}

function readHeredoc(lexer: Lexer, line: LogicalText, start: HeredocStart): Heredoc {
  const { word, name, expand, stripTabs, fd } = start
  const last = findDelimiter(lexer, line, start)
  const { source, starts } = lexer.lines
  const bodyStart = starts[lexer.next] ?? source.length
  const bodyEnd = starts[last] ?? source.length
  lexer.next = Math.min(last + 1, starts.length)
  const body = source.slice(bodyStart, bodyEnd)
  return {
    text: line.text.slice(word.start, word.end),
    name,
    body: stripTabs ? body.replaceAll(/(^|\n)\t+/g, '$1') : body,
    expand,
    stripTabs,
    fd,
    span: spanOf(line, word.start, word.end),
    bodySpan: spanAt(lexer.lines, bodyStart, bodyEnd),
  }
}

/** The number of the line that ends the heredoc. Where none does, the best guess, so that what follows is still read. */
function findDelimiter(lexer: Lexer, line: LogicalText, start: HeredocStart): number {
  const isDelimiter = (text: string): boolean => (start.stripTabs ? text.replace(/^\t+/, '') : text) === start.name
  let guess: number | undefined
  for (let number = lexer.next; ; number++) {
    const physical = physicalLine(lexer, number)
    if (physical === undefined) break
    if (isDelimiter(physical.text)) return number
    if (physical.text.trim() === start.name) guess ??= number
  }
  lexer.diagnostics.push({
    severity: 'error',
    rule: 'unterminated-heredoc',
    message: `heredoc "${start.name}" has no end`,
    span: spanOf(line, start.word.start, start.word.end),
    hint:
      guess === undefined
        ? `end it with a line that holds "${start.name}" and nothing else`
        : `remove the blanks around "${start.name}" on line ${guess + 1}${start.stripTabs ? ' (only tabs may stand before it)' : ''}`,
  })
  return guess ?? lexer.lines.starts.length
}
