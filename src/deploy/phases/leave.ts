import { keptHookSteps } from '../hooks/kept-hooks.ts'
import type { Phase } from '../plan.ts'

/** Agents leave side by side: nobody's majority depends on them. */
export const leaveAgents: Phase = {
  title: 'Remove agents',
  steps({ leaving, runtime, cluster, nodes }) {
    return leaving
      .filter(node => node.role === 'agent')
      .flatMap(node => [...keptHookSteps('beforeReset', node), ...runtime.remove(node, cluster, nodes[0])])
  },
}

/** Servers leave one at a time, and the cluster settles in between. */
export const leaveServers: Phase = {
  title: 'Remove servers',
  limit: () => 1,
  steps({ leaving, runtime, cluster, nodes }) {
    return leaving
      .filter(node => node.role === 'server')
      .flatMap(node => [...keptHookSteps('beforeReset', node), ...runtime.remove(node, cluster, nodes[0])])
  },
}
