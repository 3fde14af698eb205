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

/** Before SQLite becomes embedded etcd; once the config says so, what SQLite has is the past. */
export const snapshotBeforeConversion: Phase = {
  title: 'Snapshot',
  steps({ nodes, runtime, cluster }) {
    const present = runtime.inherited(nodes[0])?.datastore
    const converts = present === 'sqlite' && cluster.datastore === 'etcd'
    return converts ? runtime.snapshot(nodes[0], { ...cluster, datastore: present }, 'before-conversion') : []
  },
}

/** When the user says so. */
export const snapshotOnDemand: Phase = {
  title: 'Snapshot',
  steps: ({ nodes, runtime, cluster }) => runtime.snapshot(nodes[0], cluster, 'on-demand'),
}

function hasBegun({ nodes }: Deployment): boolean {
  return nodes.some(node => node.role === 'server' && readNodeRecord(node.facts)?.digest === node.rootfs.digest)
}
