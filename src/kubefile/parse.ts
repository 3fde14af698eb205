import type { Diagnostic } from '../core/diagnostic.ts'
import type { Arg, From, Instruction, Kubefile, Stage } from './ast.ts'
import { type LexedKubefile, type LogicalLine, lexKubefile } from './lex.ts'
import { guardKubefile } from './lint/guard.ts'
import { indexLines, spanAt, spanOf } from './logical-text.ts'
import { parseInstruction } from './parse-instruction.ts'

export interface ParseResult {
  /** Undefined iff a diagnostic is an error. */
  readonly kubefile: Kubefile | undefined
  /** What could be read, also where something is wrong: for those who look for more mistakes. */
  readonly draft: Kubefile
  /** In the order of the text. */
  readonly diagnostics: readonly Diagnostic[]
}

/** Text → AST. Never throws for bad input, and finds all mistakes at once. */
export function parseKubefile(source: string, filename = 'Kubefile'): ParseResult {
  const lexed = lexKubefile(source)
  const diagnostics: Diagnostic[] = []
  const { globalArgs, stages } = readStages(lexed, diagnostics)
  const { escape, directives, trailingComments } = lexed
  const kubefile: Kubefile = { filename, source, escape, directives, globalArgs, stages, trailingComments }
  if (lexed.lines.length === 0) diagnostics.push(emptyFile(source))
  const sorted = [...lexed.diagnostics, ...diagnostics, ...guardKubefile(kubefile)].toSorted(
    (a, b) => a.span.start.offset - b.span.start.offset,
  )
  const isWrong = sorted.some(({ severity }) => severity === 'error')
  return { kubefile: isWrong ? undefined : kubefile, draft: kubefile, diagnostics: sorted }
}

function emptyFile(source: string): Diagnostic {
  return {
    severity: 'error',
    rule: 'empty-kubefile',
    message: 'no instruction stands in the Kubefile',
    span: spanAt(indexLines(source), 0, 0),
    hint: 'begin with FROM scratch and BASE k3s@stable',
  }
}

/** What stands between two FROMs; `from` is undefined where there is no FROM, or a wrong one. */
interface OpenStage {
  readonly from: From | undefined
  readonly instructions: Instruction[]
}

function readStages(lexed: LexedKubefile, diagnostics: Diagnostic[]): Pick<Kubefile, 'globalArgs' | 'stages'> {
  const parsed = lexed.lines.map(line => ({ line, ...parseInstruction(line, lexed.escape, diagnostics) }))
  const firstFrom = parsed.findIndex(({ spec }) => spec?.kind === 'FROM')
  const globalArgs: Arg[] = []
  const stages: OpenStage[] = firstFrom < 0 ? [{ from: undefined, instructions: [] }] : []
  for (const { line, spec, instruction } of parsed) {
    const stage = stages.at(-1)
    if (spec?.kind === 'FROM') {
      stages.push({ from: instruction?.kind === 'FROM' ? instruction : undefined, instructions: [] })
    } else if (stage !== undefined) {
      if (instruction !== undefined) stage.instructions.push(instruction)
    } else if (instruction?.kind === 'ARG') {
      globalArgs.push(instruction)
    } else if (spec !== undefined && spec.kind !== 'ARG') {
      diagnostics.push(beforeFrom(line, spec.kind))
    }
  }
  return { globalArgs, stages: stages satisfies readonly Stage[] }
}

function beforeFrom(line: LogicalLine, kind: string): Diagnostic {
  return {
    severity: 'error',
    rule: 'before-from',
    message: `${kind} stands before the first FROM`,
    span: spanOf(line.text, 0, kind.length),
    hint: `move ${kind} below FROM; only ARG may stand above it`,
  }
}
