import type { Span } from '../../core/diagnostic.ts'
import { findFlag, type Instruction, isFlagOn } from '../ast.ts'
import { unquoteWord } from '../words.ts'
import { type LintSubject, placedInstructions } from './rule.ts'

/** The local files and directories that a COPY, ADD or APP of the context names, where no variable is in the name. */
export function contextSources(
  { kubefile }: LintSubject,
  kinds: readonly Instruction['kind'][],
): readonly {
  readonly instruction: Instruction
  readonly source: string
  readonly span: Span
}[] {
  return placedInstructions(kubefile).flatMap(({ instruction }) => {
    if (!kinds.includes(instruction.kind) || !('sources' in instruction)) return []
    if (findFlag(instruction, 'from') !== undefined || isFlagOn(instruction, 'parents')) return []
    return instruction.sources.flatMap(source => {
      if ('body' in source || source.text.includes('$')) return []
      const isJson = instruction.form === 'json'
      const text = isJson ? source.text : unquoteWord(source.text, kubefile.escape)
      const isApp = instruction.kind === 'APP' || instruction.kind === 'CNI' || instruction.kind === 'CSI'
      const path = isApp ? /^local:\/\/(.+)$/.exec(text)?.[1] : isRemote(text) ? undefined : text
      return path === undefined ? [] : [{ instruction, source: path, span: source.span }]
    })
  })
}

/** A URL or a git repository. */
export function isRemote(source: string): boolean {
  return /^(?:https?|git|ssh):\/\/|^[\w.-]+@[\w.-]+:/i.test(source)
}
