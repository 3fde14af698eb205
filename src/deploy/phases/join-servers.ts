import { changeOf } from '../config-changes.ts'
import type { Phase } from '../plan.ts'

/** One at a time, each a voter before the next one comes: etcd takes one learner, and a majority that is never in doubt. */
export const joinServers: Phase = {
  title: 'Join servers',
  limit: () => 1,
  steps(deployment) {
    const { nodes, runtime, cluster } = deployment
    const [first, ...others] = nodes
    return others
      .filter(node => node.role === 'server' && changeOf(node, deployment) === undefined)
      .flatMap(node => runtime.join(node, cluster, first))
  },
}
