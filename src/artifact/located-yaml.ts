import { type Document, isMap, isNode, LineCounter, type Node, type ParsedNode, parseDocument } from 'yaml'
import type * as z from 'zod'
import type { Diagnostic, Position, Span } from '../core/diagnostic.ts'
import { InvalidFileError } from '../core/invalid-file.ts'
import { suggest } from '../core/suggest.ts'

type Path = readonly PropertyKey[]

/** A mistake that only the caller can see, at the value that `path` leads to. */
export interface Finding {
  readonly path: Path
  readonly message: string
  readonly hint?: string
}

/** What a kind of file must look like. */
export interface FileShape<T extends z.ZodType> {
  /** The rule that its mistakes break, kebab-case. */
  readonly rule: string
  schema(): T
  /** Every key it has anywhere: enough to tell a typing mistake from a foreign word. */
  readonly words: readonly string[]
  check?(value: z.output<T>): readonly Finding[]
}

/**
 * YAML held against the schema, then against `check`; every mistake has its place in the text.
 * @throws InvalidFileError with all of them.
 */
export function parseLocatedYaml<T extends z.ZodType>(
  text: string,
  filename: string,
  shape: FileShape<T>,
): z.output<T> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (range: readonly [number, number]): Span => ({
    start: position(lines, range[0]),
    end: position(lines, Math.max(range[1], range[0])),
  })
  const fail = (diagnostics: readonly Diagnostic[]): never => {
    throw new InvalidFileError(filename, text, diagnostics)
  }
  if (document.errors.length > 0) {
    fail(document.errors.map(error => diagnostic('yaml-syntax', lowerFirst(error.message), at(error.pos))))
  }
  const failAt = (findings: readonly LocatedFinding[]): never =>
    fail(findings.map(found => diagnostic(shape.rule, found.message, at(rangeOf(document, found)), found.hint)))
  const parsed = shape.schema().safeParse(document.toJS())
  if (!parsed.success) return failAt(parsed.error.issues.flatMap(issue => explain(issue, shape.words)))
  const findings = shape.check?.(parsed.data) ?? []
  return findings.length > 0 ? failAt(findings) : parsed.data
}

function diagnostic(rule: string, message: string, span: Span, hint?: string): Diagnostic {
  return { severity: 'error', rule, message, span, ...(hint === undefined ? {} : { hint }) }
}

function position(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset)
  return { offset, line: Math.max(1, line), column: Math.max(1, col) }
}

type LocatedFinding = Finding & { readonly key?: string }

function explain(issue: z.core.$ZodIssue, words: readonly string[]): readonly LocatedFinding[] {
  if (issue.code !== 'unrecognized_keys') {
    return [{ path: issue.path, message: `${nameOf(issue.path)}: ${lowerFirst(issue.message)}` }]
  }
  return issue.keys.map(key => {
    const near = suggest(key, words)
    const hint = near === undefined ? {} : { hint: `did you mean ${near}?` }
    return { path: issue.path, key, message: `unknown key "${key}"`, ...hint }
  })
}

function nameOf(path: Path): string {
  return path.length === 0 ? 'the file' : path.map(String).join('.')
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}

// The value's own place, or that of the nearest parent where it is missing.
function rangeOf(document: Document<ParsedNode>, found: LocatedFinding): readonly [number, number] {
  const node = nodeAt(document, found.path)
  if (found.key !== undefined && isMap(node)) {
    const pair = node.items.find(item => isNode(item.key) && String(item.key) === found.key)
    const range = pair !== undefined && isNode(pair.key) ? pair.key.range : undefined
    if (range !== undefined && range !== null) return [range[0], range[1]]
  }
  const range = node?.range ?? [0, 0, 0]
  return [range[0], range[1]]
}

function nodeAt(document: Document<ParsedNode>, path: Path): Node | undefined {
  for (let length = path.length; length >= 0; length--) {
    const node: unknown = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
    if (isNode(node)) return node
  }
  return undefined
}
