import type { Phase } from '../plan.ts'

/** What no archive of the runtime has: every node gets the collected images, once its containerd is up. */
export const images: Phase = {
  title: 'Images',
  steps: ({ nodes, runtime, cluster }) => nodes.flatMap(node => runtime.importImages(node, cluster)),
}
