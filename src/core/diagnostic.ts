/** Offsets count UTF-16 units from 0; lines and columns count from 1. */
export interface Position {
  readonly offset: number
  readonly line: number
  readonly column: number
}

export interface Span {
  readonly start: Position
  readonly end: Position
}

/** The source's `[start, end)` is to read `text`; offsets as in Position. */
export interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

export interface Diagnostic {
  readonly severity: 'error' | 'warning'
  /** The rule's kebab-case name; lint rules have a page of that name in docs/rules/. */
  readonly rule: string
  readonly message: string
  readonly span: Span
  readonly hint?: string
  /** What mends it without changing what the file means. */
  readonly fix?: readonly Edit[]
}

/** A diagnostic as people read it: position, two lines of context, a caret under the place, the hint. */
export function formatDiagnostic(
  diagnostic: Diagnostic,
  source: string,
  filename: string,
  code = 'KUBEFILE_INVALID',
): string {
  const { start, end } = diagnostic.span
  const lines = source.split(/\r?\n/)
  const width = String(start.line).length
  const gutter = (number: number, mark: string): string => `${mark} ${String(number).padStart(width)} | `
  const text = (number: number): string => (lines[number - 1] ?? '').replaceAll('\t', ' ')
  const length =
    end.line === start.line
      ? Math.max(1, end.column - start.column)
      : Math.max(1, text(start.line).length - start.column + 1)
  const head = diagnostic.severity === 'error' ? `error[${code}]` : `warning[${diagnostic.rule}]`
  const out = [`${head}: ${diagnostic.message}`, `  ${filename}:${start.line}:${start.column}`]
  if (start.line > 1) out.push(`${gutter(start.line - 1, '   ')}${text(start.line - 1)}`.trimEnd())
  out.push(`${gutter(start.line, '>>>')}${text(start.line)}`.trimEnd())
  out.push(`    ${' '.repeat(width)} | ${' '.repeat(start.column - 1)}${'^'.repeat(length)}`)
  if (diagnostic.hint !== undefined) out.push(`  hint: ${diagnostic.hint}`)
  return out.join('\n')
}
