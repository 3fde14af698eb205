import type { Diagnostic } from './diagnostic.ts'
import { CloudimgError } from './error.ts'

/** A Kubefile, template or Clusterfile with mistakes: all of them, each with its place. */
export class InvalidFileError extends CloudimgError {
  readonly diagnostics: readonly Diagnostic[]
  readonly source: string
  readonly filename: string

  constructor(
    filename: string,
    source: string,
    diagnostics: readonly Diagnostic[],
    code: 'KUBEFILE_INVALID' | 'CLUSTERFILE_INVALID' = 'KUBEFILE_INVALID',
  ) {
    const errors = diagnostics.filter(diagnostic => diagnostic.severity === 'error')
    const [first] = errors
    const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
    const place = first === undefined ? filename : `${filename}:${first.span.start.line}:${first.span.start.column}`
    super(
      code,
      `reading "${place}": ${first?.message ?? 'invalid'}${more}`,
      first?.hint === undefined ? {} : { hint: first.hint },
    )
    this.diagnostics = diagnostics
    this.source = source
    this.filename = filename
  }
}
