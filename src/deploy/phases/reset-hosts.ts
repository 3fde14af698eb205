import { keptHookSteps } from '../hooks/kept-hooks.ts'
import type { DeployStep } from '../../runtime/step.ts'
import type { Deployment, Phase } from '../plan.ts'

/** Servers go last: while they are there, the cluster can still be asked who belongs to it. */
export const resetAgents: Phase = { title: 'Reset agents', steps: deployment => stepsFor(deployment, 'agent') }

export const resetServers: Phase = { title: 'Reset servers', steps: deployment => stepsFor(deployment, 'server') }

function stepsFor({ nodes, runtime, cluster }: Deployment, role: 'server' | 'agent'): readonly DeployStep[] {
  return nodes
    .filter(node => node.role === role)
    .flatMap(node => [...keptHookSteps('beforeReset', node), ...runtime.reset(node, cluster)])
}
