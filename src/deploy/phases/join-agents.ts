import type { Phase } from '../plan.ts'
import { firstServer } from './init.ts'

/** Agents do not wait for each other. */
export const joinAgents: Phase = {
  title: 'Join agents',
  steps(deployment) {
    const server = firstServer(deployment)
    const agents = deployment.nodes.filter(node => node.role === 'agent')
    return agents.flatMap(agent => deployment.runtime.join(agent, deployment.cluster, server))
  },
}
