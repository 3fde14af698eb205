import type { Phase } from '../plan.ts'

/** Program and images to their places, everywhere, before the first k3s starts. */
export const install: Phase = {
  title: 'Install',
  steps: ({ nodes, runtime, cluster }) => nodes.flatMap(node => runtime.install(node, cluster)),
}
