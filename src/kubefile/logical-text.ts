import type { Position, Span } from '../core/diagnostic.ts'
import type { Word } from './ast.ts'

/** Offsets count from the source's first character, a byte order mark included; columns do not count the mark. */
export interface SourceLines {
  readonly source: string
  /** Where each line's column 1 is. */
  readonly starts: readonly number[]
}

export const byteOrderMark = '\uFEFF'

export function indexLines(source: string): SourceLines {
  const starts = [source.startsWith(byteOrderMark) ? 1 : 0]
  for (let at = source.indexOf('\n'); at >= 0; at = source.indexOf('\n', at + 1)) starts.push(at + 1)
  return { source, starts }
}

export function positionAt({ starts }: SourceLines, offset: number): Position {
  let low = 0
  let high = starts.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (starts[middle]! <= offset) low = middle
    else high = middle - 1
  }
  return { offset, line: low + 1, column: Math.max(0, offset - starts[low]!) + 1 }
}

export function spanAt(lines: SourceLines, start: number, end: number): Span {
  return { start: positionAt(lines, start), end: positionAt(lines, end) }
}

/** An instruction's line with its continuations joined, and where each of its characters stands in the source. */
export interface LogicalText {
  readonly lines: SourceLines
  readonly text: string
  readonly offsets: readonly number[]
}

/** The source's span of `text[start, end)`; of nothing, the place where it would stand. */
export function spanOf({ lines, offsets }: LogicalText, start: number, end: number): Span {
  const last = offsets.at(-1) ?? 0
  const from = offsets[start] ?? last + 1
  return spanAt(lines, from, end > start ? offsets[end - 1]! + 1 : from)
}

export function wordOf(line: LogicalText, start: number, end: number): Word {
  return { text: line.text.slice(start, end), span: spanOf(line, start, end) }
}
