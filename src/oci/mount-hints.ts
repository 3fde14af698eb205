import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { isCloudimgError } from '../core/error.ts'
import { parseReference } from '../core/reference.ts'
import type { Descriptor } from './descriptor.ts'
import { listManifests, parseManifest, readDocument } from './document.ts'
import type { ImageSource, Place } from './ends.ts'
import type { StoredRef } from './store/refs.ts'

/** Images whose layers are looked at: the search must cost less than it saves. */
const maxImages = 50

/**
 * Where the target's registry may have a blob already: in the repositories of that registry whose images the store knows. A hint that
 * is wrong costs nothing: the registry then opens the upload that was needed anyway.
 */
export async function mountHints(
  store: ImageSource,
  refs: readonly StoredRef[],
  target: Place,
  ctx: Context,
): Promise<(blob: Descriptor) => Place | undefined> {
  const places = new Map<Digest, Place>()
  const images = refs
    .map(({ name, target: image }) => ({ ref: parseReference(name), image }))
    .filter(({ ref }) => ref.registry === target.registry && ref.repository !== target.repository)
  for (const { ref, image } of images.slice(0, maxImages)) {
    const { registry, repository } = ref
    for (const blob of await blobsOf(store, image, ctx)) places.set(blob, { registry, repository })
  }
  return blob => places.get(blob.digest)
}

// An image that is not whole in the store says nothing, and is no reason to stop.
async function blobsOf(store: ImageSource, image: Descriptor, ctx: Context): Promise<readonly Digest[]> {
  const found: Digest[] = []
  try {
    for (const descriptor of await listManifests(store, image, ctx)) {
      const { layers } = parseManifest(await readDocument(store, descriptor, ctx), descriptor.digest)
      found.push(...layers.map(layer => layer.digest))
    }
  } catch (error) {
    if (!isCloudimgError(error)) throw error
  }
  return found
}
