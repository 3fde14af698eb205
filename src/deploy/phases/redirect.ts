import type { Phase } from '../plan.ts'

/** Nobody is left with the address of a server that is gone. */
export const redirect: Phase = {
  title: 'Redirect',
  steps: ({ nodes, runtime, cluster }) => nodes.flatMap(node => runtime.redirect(node, cluster, nodes[0])),
}
