import { openContext } from '../../build/context.ts'
import { lintBuild } from '../../build/lint-build.ts'
import { type Diagnostic, formatDiagnostic } from '../../core/diagnostic.ts'
import { CloudimgError } from '../../core/error.ts'
import { rulePage } from '../../kubefile/lint/lint.ts'
import { lintRules } from '../../kubefile/lint/rules.ts'
import { readKubefileSource, writeKubefile } from '../kubefile-source.ts'
import type { Session } from '../session.ts'
import { lockPath } from '../build-input.ts'
import { parseBuildArgs } from './build.ts'

export interface LintFlags {
  readonly file?: string
  readonly fix?: boolean
  readonly strict?: boolean
  readonly buildArg?: readonly string[]
  readonly target?: string
  readonly lockFile?: string
}

/** `cloudimg lint CONTEXT`: everything that is wrong or doubtful, each with its place and its page. 3 where there are errors. */
export async function lint(session: Session, contextDirectory: string, flags: LintFlags): Promise<number> {
  const { filename, path, source } = await readKubefileSource(session, contextDirectory, flags.file)
  if (flags.fix === true && path === undefined)
    throw new CloudimgError('USAGE', 'mending a Kubefile from stdin: there is no file to write', {
      hint: 'name the file with -f',
    })
  const result = await lintBuild({
    kubefile: { filename, source },
    context: await openContext(contextDirectory, path),
    lockPath: lockPath(path ?? '-', flags.lockFile),
    buildArgs: parseBuildArgs(flags.buildArg ?? [], session.terminal.env),
    target: flags.target,
    fix: flags.fix === true,
  })
  if (path !== undefined && result.source !== source) await writeKubefile(path, result.source)
  const isError = ({ severity }: Diagnostic): boolean => severity === 'error'
  const errors = result.left.filter(isError).length
  const warnings = result.left.length - errors
  const described = (list: readonly Diagnostic[]) => list.map(describe)
  const answer = {
    file: filename,
    errors,
    warnings,
    diagnostics: described(result.left),
    fixed: described(result.fixed),
  }
  session.answer(answer, () =>
    [
      ...result.left.map(diagnostic => formatFinding(diagnostic, result.source, filename)),
      summary(filename, errors, warnings, result.fixed.length),
    ].join('\n\n'),
  )
  return errors > 0 || (flags.strict === true && warnings > 0) ? 3 : 0
}

function describe(diagnostic: Diagnostic): object {
  const { rule, severity, message, hint, span, fix } = diagnostic
  return { rule, severity, message, hint, span, page: pageOf(rule), fixable: fix !== undefined }
}

/** With the rule's id and page, where it has one: mistakes of grammar explain themselves. */
function formatFinding(diagnostic: Diagnostic, source: string, filename: string): string {
  const text = formatDiagnostic(diagnostic, source, filename, diagnostic.rule)
  const page = pageOf(diagnostic.rule)
  return page === undefined ? text : `${text}\n  see ${page}`
}

function pageOf(rule: string): string | undefined {
  return lintRules.some(({ id }) => id === rule) ? rulePage(rule) : undefined
}

function summary(filename: string, errors: number, warnings: number, fixed: number): string {
  const count = (number: number, word: string): string => `${number} ${word}${number === 1 ? '' : 's'}`
  const found = errors + warnings === 0 ? 'nothing to mend' : `${count(errors, 'error')}, ${count(warnings, 'warning')}`
  return `${filename}: ${found}${fixed === 0 ? '' : `, ${fixed} mended`}`
}
