import { isMap, isNode, isScalar, LineCounter, type Document, parseAllDocuments } from 'yaml'
import type { Diagnostic, Position, Span } from '../../core/diagnostic.ts'

export type Path = readonly PropertyKey[]

/** Where in the text a place of the value is: that of the key itself, or of its value. */
export type Locate = (path: Path, what: 'key' | 'value') => Span

export interface SourceDocument {
  readonly value: unknown
  readonly locate: Locate
}

export interface SourceText {
  readonly documents: readonly SourceDocument[]
  /** Mistakes of YAML's grammar. */
  readonly diagnostics: readonly Diagnostic[]
}

/** YAML documents with their places; what is empty is no document. */
export function readSource(text: string): SourceText {
  const lines = new LineCounter()
  const options = { lineCounter: lines, merge: true, prettyErrors: false } as const
  const parsed = parseAllDocuments(text, options)
  const all = Array.isArray(parsed) ? (parsed as readonly Document.Parsed[]) : []
  const span = (start: number, end: number): Span => ({ start: position(lines, start), end: position(lines, end) })
  const diagnostics = all.flatMap(document =>
    [...document.errors, ...document.warnings].map(({ message, pos }): Diagnostic => ({
      severity: 'error',
      rule: 'yaml',
      message: lowerFirst(message),
      span: span(pos[0], Math.max(pos[1], pos[0] + 1)),
    })),
  )
  if (diagnostics.length > 0) return { documents: [], diagnostics }
  try {
    const documents = all
      .map(document => ({ value: document.toJS() as unknown, locate: locator(document, span) }))
      .filter(({ value }) => value !== null)
    return { documents, diagnostics }
  } catch {
    const message = 'its aliases stand for more than a cluster can need'
    return { documents: [], diagnostics: [{ severity: 'error', rule: 'yaml', message, span: span(0, 1) }] }
  }
}

/** Places that the text does not have itself (a missing field, what an alias brings) are those of what holds them. */
function locator(document: Document.Parsed, span: (start: number, end: number) => Span): Locate {
  const first = document.contents?.range ?? document.range
  const start = span(first[0], first[0] + 1)
  return (path, what) => {
    for (let length = path.length; length > 0; length--) {
      const at = path.slice(0, length)
      const wanted = length < path.length ? 'key' : what
      const range = wanted === 'key' ? (keyRange(document, at) ?? valueRange(document, at)) : valueRange(document, at)
      if (range !== undefined) return span(range[0], range[1])
    }
    return start
  }
}

type Range = readonly [number, number]

function keyRange(document: Document.Parsed, path: Path): Range | undefined {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  if (!isMap(parent)) return undefined
  const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(path.at(-1)))
  return isScalar(pair?.key) && pair.key.range ? [pair.key.range[0], pair.key.range[1]] : undefined
}

function valueRange(document: Document.Parsed, path: Path): Range | undefined {
  const node = document.getIn(path, true)
  if (!isNode(node) || !node.range) return undefined
  // A whole map is no place to point at: its first letter is.
  return isScalar(node)
    ? [node.range[0], Math.max(node.range[1], node.range[0] + 1)]
    : [node.range[0], node.range[0] + 1]
}

function position(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset)
  return { offset, line: Math.max(1, line), column: Math.max(1, col) }
}

function lowerFirst(text: string): string {
  return `${text.slice(0, 1).toLowerCase()}${text.slice(1)}`
}
