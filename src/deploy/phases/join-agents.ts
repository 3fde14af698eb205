import type { Phase } from '../plan.ts'

/** Agents do not wait for each other. */
export const joinAgents: Phase = {
  title: 'Join agents',
  steps({ nodes, runtime, cluster }) {
    return nodes.filter(node => node.role === 'agent').flatMap(node => runtime.join(node, cluster, nodes[0]))
  },
}
