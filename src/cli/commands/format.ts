import { CloudimgError } from '../../core/error.ts'
import { InvalidFileError } from '../../core/invalid-file.ts'
import { parseKubefile } from '../../kubefile/parse.ts'
import { formatKubefile } from '../../kubefile/print.ts'
import { reformatSource } from '../../kubefile/reformat.ts'
import { readKubefileSource, writeKubefile } from '../kubefile-source.ts'
import type { Session } from '../session.ts'

export interface FormatFlags {
  readonly file?: string
  readonly check?: boolean
  readonly write?: boolean
}

const differencesPending = 9

/** `cloudimg fmt CONTEXT`: the Kubefile in canonical form, on stdout or in its place; `--check` only says whether it is. */
export async function format(session: Session, contextDirectory: string, flags: FormatFlags): Promise<number> {
  const { filename, path, source } = await readKubefileSource(session, contextDirectory, flags.file)
  if (flags.write === true && path === undefined)
    throw new CloudimgError('USAGE', 'writing a Kubefile from stdin in place: it has none', {
      hint: 'leave --write out: the text goes to stdout',
    })
  const formatted = checked(filename, source)
  const changed = formatted !== source
  if (flags.check === true) {
    session.answer({ file: filename, formatted: !changed }, () =>
      changed ? `${filename}: not in canonical form; cloudimg fmt --write -f ${filename}` : '',
    )
    return changed ? differencesPending : 0
  }
  if (flags.write === true && path !== undefined) {
    if (changed) await writeKubefile(path, formatted)
    session.answer({ file: filename, changed }, () => (changed ? `${filename}: written` : ''))
    return 0
  }
  session.answer({ file: filename, changed, text: formatted }, () => formatted)
  return 0
}

/** @throws InvalidFileError for what does not parse; what would mean something else is never given out. */
function checked(filename: string, source: string): string {
  const before = parseKubefile(source, filename)
  if (before.kubefile === undefined) throw new InvalidFileError(filename, source, before.diagnostics)
  const formatted = reformatSource(source)
  const after = parseKubefile(formatted, filename)
  if (after.kubefile !== undefined && formatKubefile(after.kubefile) === formatKubefile(before.kubefile))
    return formatted
  throw new CloudimgError('BUG', `formatting "${filename}": the result would not mean the same`)
}
