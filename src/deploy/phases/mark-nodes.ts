import type { Marks } from '../../runtime/runtime.ts'
import type { Phase } from '../plan.ts'

const none: Marks = { labels: {}, taints: [] }

/** Labels and taints by machine, as it was named; where nothing is declared, what once was goes. */
export function markNodes(marks: ReadonlyMap<string, Marks>): Phase {
  return {
    title: 'Mark nodes',
    steps: ({ nodes, runtime, cluster, members }) =>
      nodes.flatMap(node => {
        const marked = members.find(member => member.name === node.name)?.marked
        return runtime.mark(node, cluster, nodes[0], marks.get(node.host) ?? none, marked)
      }),
  }
}
