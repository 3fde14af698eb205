import { keptHookSteps } from '../hooks/kept-hooks.ts'
import type { DeployStep } from '../../runtime/step.ts'
import { serverBeside } from '../config-changes.ts'
import type { Deployment, Phase } from '../plan.ts'
import type { SituatedNode } from '../situation.ts'
import { minorOf } from '../version.ts'

/** Servers first, one at a time, each Ready at the new version before the next one. */
export const upgradeServers: Phase = {
  title: 'Upgrade servers',
  limit: () => 1,
  steps: deployment => stepsFor(deployment, 'server'),
}

/** Agents never run a newer version than the servers, so they come last. */
export const upgradeAgents: Phase = {
  title: 'Upgrade agents',
  limit: ({ wishes }) => wishes.maxUnavailable ?? 1,
  steps: deployment => stepsFor(deployment, 'agent'),
}

function stepsFor(deployment: Deployment, role: SituatedNode['role']): readonly DeployStep[] {
  const { nodes, runtime, cluster, wishes } = deployment
  const options = { sameMinor: isSameMinor(deployment), drain: wishes.drain === true }
  return nodes
    .filter(node => node.role === role)
    .flatMap(node => [
      ...keptHookSteps('beforeUpgrade', node),
      ...runtime.upgrade(node, cluster, serverBeside(node, nodes), options),
    ])
}

/** Of all nodes: one server at another minor is enough for the datastore to have changed. */
function isSameMinor({ members, cluster }: Deployment): boolean {
  const { version } = cluster
  return (
    version !== undefined && members.length > 0 && members.every(member => minorOf(member.version) === minorOf(version))
  )
}
