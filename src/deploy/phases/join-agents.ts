import { changeOf } from '../config-changes.ts'
import type { Phase } from '../plan.ts'

/** Agents do not wait for each other. */
export const joinAgents: Phase = {
  title: 'Join agents',
  steps(deployment) {
    const { nodes, runtime, cluster } = deployment
    return nodes
      .filter(node => node.role === 'agent' && changeOf(node, deployment) === undefined)
      .flatMap(node => runtime.join(node, cluster, nodes[0]))
  },
}
