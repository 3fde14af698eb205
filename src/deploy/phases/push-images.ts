import type { Phase } from '../plan.ts'

/** The registry of a URL is given the images that it lacks: before anybody asks it, and only where that was asked for. */
export const pushImages: Phase = {
  title: 'Push',
  steps({ cluster: { registry }, nodes, wishes, registry: answer }) {
    if (registry.mode !== 'url' || wishes.registryPush !== true) return []
    const { url } = registry
    const count = answer?.missing.length ?? 0
    return [
      {
        id: 'push',
        host: nodes[0].host,
        lane: 'registry',
        sentence: count === 0 ? `push images to ${url}` : `push ${count} images to ${url}`,
        do: [{ op: 'push', url }],
        done: { probe: 'pushed', url },
        // They stay: images under names of their own are in nobody's way.
        undo: { kind: 'compensating', do: [] },
      },
    ]
  },
}
