import type { Deployment, Phase } from '../plan.ts'
import type { DeployStep } from '../../runtime/step.ts'
import type { SituatedNode } from '../situation.ts'

/** One at a time: what a runtime brings itself comes back by a restart. */
export const healServers: Phase = {
  title: 'Images of servers',
  limit: () => 1,
  steps: deployment => stepsFor(deployment, 'server'),
}

export const healAgents: Phase = { title: 'Images of agents', steps: deployment => stepsFor(deployment, 'agent') }

function stepsFor({ nodes, runtime, cluster }: Deployment, role: SituatedNode['role']): readonly DeployStep[] {
  return nodes.filter(node => node.role === role).flatMap(node => runtime.healImages(node, cluster, nodes[0]))
}
