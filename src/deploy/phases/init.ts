import { changeOf } from '../config-changes.ts'
import type { Phase } from '../plan.ts'

/** The first server comes up alone; everyone else joins it. */
export const initCluster: Phase = {
  title: 'Init',
  steps: deployment => {
    const { nodes, runtime, cluster } = deployment
    return changeOf(nodes[0], deployment) === undefined ? runtime.init(nodes[0], cluster) : []
  },
}
