import type { Phase } from '../plan.ts'

/** One at a time, each a voter before the next one comes: etcd takes one learner, and a majority that is never in doubt. */
export const joinServers: Phase = {
  title: 'Join servers',
  limit: () => 1,
  steps({ nodes, runtime, cluster }) {
    const [first, ...others] = nodes
    return others.filter(node => node.role === 'server').flatMap(node => runtime.join(node, cluster, first))
  },
}
