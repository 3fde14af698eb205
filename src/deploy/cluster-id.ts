import { createHash } from 'node:crypto'
import * as z from 'zod'
import type { Digest } from '../core/digest.ts'
import type { HostFacts } from '../host/facts.ts'
import type { PlannedNode, Role } from '../runtime/runtime.ts'

const nodeRecord = z.object({
  cluster: z.string().optional(),
  role: z.enum(['server', 'agent', '']).optional(),
  digest: z.string().optional(),
  version: z.string().optional(),
  name: z.string().optional(),
})

/** What node.json on a host says it is. */
export interface NodeRecord {
  readonly cluster: string | undefined
  readonly role: Role | undefined
  readonly digest: Digest | undefined
  readonly version: string | undefined
}

export function readNodeRecord(facts: HostFacts): NodeRecord | undefined {
  if (facts.cloudimg.node === undefined) return undefined
  try {
    const { cluster, role, digest, version } = nodeRecord.parse(JSON.parse(facts.cloudimg.node))
    return {
      cluster: cluster || undefined,
      role: role || undefined,
      digest: (digest || undefined) as Digest | undefined,
      version: version || undefined,
    }
  } catch {
    return { cluster: undefined, role: undefined, digest: undefined, version: undefined }
  }
}

/**
 * The id that the first server has, or would be given. It is derived, not drawn by lot, so that a run that was cut off
 * before anything was written finds its journal again. Cloned machines share a machine id; their addresses differ.
 */
export function clusterId({ facts, address }: Pick<PlannedNode, 'facts' | 'address'>): string {
  const known = readNodeRecord(facts)?.cluster
  if (known !== undefined) return known
  const seed = [facts.machineId, facts.hostname, address].join('\n')
  return `c-${createHash('sha256').update(seed).digest('hex').slice(0, 12)}`
}
