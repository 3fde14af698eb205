import { readNodeRecord } from '../cluster-id.ts'
import type { Deployment, Phase } from '../plan.ts'

/** Before the first server is switched, never after: what comes later is no way back. */
export const snapshot: Phase = {
  title: 'Snapshot',
  steps(deployment) {
    const { nodes, runtime, cluster } = deployment
    return hasBegun(deployment) ? [] : runtime.snapshot(nodes[0], cluster, 'before-upgrade')
  },
}

function hasBegun({ nodes }: Deployment): boolean {
  return nodes.some(node => node.role === 'server' && readNodeRecord(node.facts)?.digest === node.rootfs.digest)
}
