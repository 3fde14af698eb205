import type { Phase } from '../plan.ts'

/** The first server comes up alone; everyone else joins it. */
export const initCluster: Phase = {
  title: 'Init',
  steps: ({ nodes, runtime, cluster }) => runtime.init(nodes[0], cluster),
}
