import { InvalidFileError } from '../core/invalid-file.ts'
import { formatDiagnostic } from '../core/diagnostic.ts'
import { CloudimgError, isCloudimgError, reasonOf } from '../core/error.ts'
import type { Styler } from './terminal.ts'

/** Where people tell of what should not have happened. */
export const issueUrl = 'https://github.com/cloudimg/cloudimg/issues'

/** What is shown for an error: never a stack for a known one unless asked for, always for what should not happen. */
export function describeError(error: CloudimgError, style: Styler, debug: boolean): string {
  if (error instanceof InvalidFileError) {
    return error.diagnostics
      .map(diagnostic => formatDiagnostic(diagnostic, error.source, error.filename, error.code))
      .join('\n\n')
  }
  const lines = [`${style('red', `error[${error.code}]`)}: ${error.message}`]
  if (error.hint !== undefined) lines.push(`  hint: ${error.hint}`)
  if (error.code === 'BUG') lines.push(`  this is a mistake in cloudimg; please tell us: ${issueUrl}`)
  if (debug || error.code === 'BUG') lines.push(...causes(error))
  return lines.join('\n')
}

function causes(error: Error): string[] {
  const lines = [error.stack ?? error.message]
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause)
    lines.push(`caused by: ${cause.stack ?? cause.message}`)
  return lines
}

/** Anything thrown as one of ours: an abort is CANCELLED, the unknown is a BUG. */
export function asCloudimgError(error: unknown, aborted: boolean): CloudimgError {
  if (isCloudimgError(error)) return error
  if (aborted || (error instanceof Error && error.name === 'AbortError'))
    return new CloudimgError('CANCELLED', 'interrupted', { cause: error })
  return new CloudimgError('BUG', reasonOf(error), { cause: error })
}
