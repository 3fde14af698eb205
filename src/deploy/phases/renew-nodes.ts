import type { DeployStep } from '../../runtime/step.ts'
import type { Deployment, Phase } from '../plan.ts'
import type { SituatedNode } from '../situation.ts'

/** Servers first, one at a time: agents get their certificates from them. */
export const renewServers: Phase = {
  title: 'Renew servers',
  limit: () => 1,
  steps: deployment => stepsFor(deployment, 'server'),
}

export const renewAgents: Phase = {
  title: 'Renew agents',
  limit: ({ wishes }) => wishes.maxUnavailable ?? 1,
  steps: deployment => stepsFor(deployment, 'agent'),
}

function stepsFor({ nodes, runtime, cluster, wishes }: Deployment, role: SituatedNode['role']): readonly DeployStep[] {
  const [first, ...others] = nodes
  const servers = [first, ...others.filter(node => node.role === 'server')] as const
  const options = { rotate: wishes.rotate === true }
  return nodes.filter(node => node.role === role).flatMap(node => runtime.renew(node, cluster, servers, options))
}
