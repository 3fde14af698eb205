import type { Instruction } from '../kubefile/ast.ts'
import { parseKubefile } from '../kubefile/parse.ts'
import type { Place } from '../workload/discovery.ts'

/** A Kubefile's instructions, by line and as written. */
export interface KubefileLine {
  readonly kind: Instruction['kind']
  readonly line: number
  readonly original: string
}

export function kubefileLines(text: string): readonly KubefileLine[] {
  const { stages } = parseKubefile(text).draft
  return stages.flatMap(({ instructions }) =>
    instructions.map(({ kind, span, original }) => ({ kind, line: span.start.line, original })),
  )
}

/**
 * The line of each layer's instruction, by what the layers say of themselves, lowest layer first; undefined for those of a base
 * image, and of cloudimg's own making. Lines and layers are in one order, and an instruction's layers lie next to each other: what
 * a base image says in the same words is told apart by that, unless nothing lies in between.
 */
export function linesOfLayers(
  lines: readonly KubefileLine[],
  createdBy: readonly string[],
): readonly (number | undefined)[] {
  const found: (number | undefined)[] = []
  let [at, isNext] = [lines.length, false]
  for (const text of createdBy.toReversed()) {
    const index = lines.findLastIndex((line, i) => (i < at || (i === at && isNext)) && isMadeBy(text, line))
    isNext = index >= 0
    if (isNext) at = index
    found.unshift(lines[index]?.line)
  }
  return found
}

/** A large file's layer has its path behind the instruction. */
function isMadeBy(createdBy: string, { original }: KubefileLine): boolean {
  return createdBy.trim() === original.trim() || createdBy.trim().startsWith(`${original.trim()} # `)
}

/** Where the start of the cluster's applications is written; the Metadata for what a base image brought. */
export function launchPlace(lines: readonly KubefileLine[]): Place {
  const found = lines.findLast(({ kind }) => kind === 'LAUNCH' || kind === 'CMDS' || kind === 'CMD')
  return found === undefined
    ? { file: 'Metadata', line: 0, field: 'launch' }
    : { file: 'Kubefile', line: found.line, field: found.kind }
}

export function commandPlace(lines: readonly KubefileLine[], application: string): Place {
  const found = lines.findLast(({ kind, original }) => kind === 'APPCMDS' && original.split(/\s+/)[1] === application)
  return found === undefined
    ? { file: 'Metadata', line: 0, field: `applications.${application}.command` }
    : { file: 'Kubefile', line: found.line, field: 'APPCMDS' }
}
