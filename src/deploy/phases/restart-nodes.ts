import type { DeployStep } from '../../runtime/step.ts'
import { changeOf, serverBefore, serverBeside } from '../config-changes.ts'
import type { Deployment, Phase } from '../plan.ts'
import type { SituatedNode } from '../situation.ts'

/** A new configuration takes a restart: servers one at a time, each Ready and a voter again before the next one. */
export const restartServers: Phase = {
  title: 'Restart servers',
  restarts: true,
  limit: () => 1,
  steps: deployment => stepsFor(deployment, 'server'),
}

export const restartAgents: Phase = {
  title: 'Restart agents',
  restarts: true,
  limit: ({ wishes }) => wishes.maxUnavailable ?? 1,
  steps: deployment => stepsFor(deployment, 'agent'),
}

/** Those that are not well come first: they may be mended by it, and nothing is taken from the majority. */
function stepsFor(deployment: Deployment, role: SituatedNode['role']): readonly DeployStep[] {
  const { nodes, runtime, cluster, members } = deployment
  const isWell = (node: SituatedNode): boolean => members.some(member => member.name === node.name && member.ready)
  return nodes
    .filter(node => node.role === role && changeOf(node, deployment) !== undefined)
    .toSorted((a, b) => Number(isWell(a)) - Number(isWell(b)))
    .flatMap(node => runtime.reconfigure(node, cluster, serverBefore(node, nodes), serverBeside(node, nodes)))
}
