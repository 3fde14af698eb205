import type { Marks } from '../../runtime/runtime.ts'
import type { Phase } from '../plan.ts'

/** Labels and taints by machine, as it was named. */
export function markNodes(marks: ReadonlyMap<string, Marks>): Phase {
  return {
    title: 'Mark nodes',
    steps: ({ nodes, runtime, cluster }) =>
      nodes.flatMap(node => {
        const wanted = marks.get(node.host)
        return wanted === undefined ? [] : runtime.mark(node, cluster, nodes[0], wanted)
      }),
  }
}
