import type { Phase } from '../plan.ts'

/** Registries of the servers, before the first node asks one. */
export const serveImages: Phase = {
  title: 'Registry',
  steps: ({ nodes, runtime, cluster }) => nodes.flatMap(node => runtime.serveImages(node, cluster)),
}
