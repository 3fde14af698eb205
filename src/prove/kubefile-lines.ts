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

/** The line whose instruction made a layer; undefined for layers of a base image, and of cloudimg's own making. */
export function lineOfLayer(lines: readonly KubefileLine[], createdBy: string): number | undefined {
  const plain = createdBy.trim()
  const found = lines.findLast(({ original }) => plain === original.trim())
  // A large file's layer has its path behind the instruction.
  return (found ?? lines.findLast(({ original }) => plain.startsWith(`${original.trim()} # `)))?.line
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
