import { type Diagnostic, formatDiagnostic } from '../../core/diagnostic.ts'
import { InvalidFileError } from '../../core/invalid-file.ts'
import type { Instruction, Kubefile } from '../../kubefile/ast.ts'
import { parseKubefile } from '../../kubefile/parse.ts'
import { readKubefileSource } from '../kubefile-source.ts'
import type { Session } from '../session.ts'

export interface ParseFlags {
  readonly file?: string
}

/** Raised when a field of the AST changes its meaning or goes away. */
const astVersion = 1

/** `cloudimg parse CONTEXT`: the AST as JSON, or its instructions with their places. 3 where the Kubefile is wrong. */
export async function parse(session: Session, contextDirectory: string, flags: ParseFlags): Promise<number> {
  const { filename, source } = await readKubefileSource(session, contextDirectory, flags.file)
  const { kubefile, diagnostics } = parseKubefile(source, filename)
  if (kubefile === undefined && !session.json) throw new InvalidFileError(filename, source, diagnostics)
  const ast = kubefile === undefined ? null : withoutSource(kubefile)
  session.answer({ astVersion, kubefile: ast, diagnostics: diagnostics.map(withoutFix) }, () =>
    [
      outline(kubefile!).join('\n'),
      ...diagnostics.map(diagnostic => formatDiagnostic(diagnostic, source, filename)),
    ].join('\n\n'),
  )
  return kubefile === undefined ? 3 : 0
}

function withoutSource({ source: _source, ...rest }: Kubefile): object {
  return rest
}

function withoutFix({ fix: _fix, ...rest }: Diagnostic): object {
  return rest
}

function outline({ globalArgs, stages }: Kubefile): readonly string[] {
  return [
    ...globalArgs.map(line),
    ...stages.flatMap(({ from, instructions }) => [
      from === undefined ? '        FROM scratch (implicit)' : line(from),
      ...instructions.map(instruction => `  ${line(instruction)}`),
    ]),
  ]
}

function line({ span: { start }, original }: Instruction): string {
  return `${`${start.line}:${start.column}`.padEnd(6)}  ${original}`
}
