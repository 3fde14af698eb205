import type { Context } from '../../core/context.ts'
import { type Digest, hexOf } from '../../core/digest.ts'
import { each } from '../../core/each.ts'
import { isCloudimgError } from '../../core/error.ts'
import { formatReference, type Reference } from '../../core/reference.ts'
import type { Platform } from '../../core/platform.ts'
import { compareBytes } from '../../io/files.ts'
import type { Node } from '../copy.ts'
import { type Descriptor, layerCompression } from '../descriptor.ts'
import { imageFor, listManifests, type PlatformImage, readImage } from '../document.ts'
import type { BlobReader } from '../ends.ts'
import { blobPath } from './blob-path.ts'
import type { PlainLayer } from './plain-layer.ts'

/** `manifest.json`, and the files that it names. */
export interface DockerList {
  readonly manifestJson: Buffer
  /** Configs and layers as they are, by path. */
  readonly files: ReadonlyMap<string, Descriptor>
  /** zstd layers, which are unpacked; in byte order of their paths. */
  readonly plainLayers: readonly PlainLayer[]
  /** Images that docker could make nothing of: artifacts, or layers that are no tars. */
  readonly leftOut: readonly Reference[]
}

/** How a form names configs and layers. */
export interface DockerNames {
  config(digest: Digest): string
  layer(layer: Descriptor, diffId: Digest): string
  plain(diffId: Digest): string
}

/** Beside an OCI layout the list names the layout's own blobs. */
export const besideLayout: DockerNames = {
  config: blobPath,
  layer: ({ digest }) => blobPath(digest),
  plain: diffId => `docker/${hexOf(diffId)}.tar`,
}

/** As skopeo and podman name them in a docker-archive. */
export const ofDocker: DockerNames = {
  config: digest => `${hexOf(digest)}.json`,
  layer: ({ mediaType, digest }, diffId) =>
    layerCompression(mediaType) === 'gzip' ? `${hexOf(digest)}.tar.gz` : `${hexOf(diffId)}.tar`,
  plain: diffId => `${hexOf(diffId)}.tar`,
}

/** Docker's list of images, of each the one for that platform, else the first that there is. */
export async function listForDocker(
  reader: BlobReader,
  images: readonly { readonly graph: Node; readonly name: Reference }[],
  platform: Platform,
  names: DockerNames,
  ctx: Context,
): Promise<DockerList> {
  const plain = new Map<string, PlainLayer>()
  const files = new Map<string, Descriptor>()
  const leftOut: Reference[] = []
  const entries = await each(images, 1, async ({ graph, name }) => {
    const image = await imageForDocker(reader, graph.descriptor, platform, ctx)
    if (image === undefined) {
      leftOut.push(name)
      return []
    }
    const { digest: _digest, ...tagged } = name
    const Layers = image.manifest.layers.map((layer, i) => {
      const diffId = image.config.rootfs.diff_ids[i]!
      const path = layerCompression(layer.mediaType) === 'zstd' ? names.plain(diffId) : names.layer(layer, diffId)
      if (layerCompression(layer.mediaType) === 'zstd') plain.set(path, { path, layer, diffId })
      else files.set(path, layer)
      return path
    })
    const Config = names.config(image.manifest.config.digest)
    files.set(Config, image.manifest.config)
    return [{ Config, RepoTags: name.tag === undefined ? [] : [formatReference(tagged)], Layers }]
  })
  const unpacked = [...plain.values()].filter(({ path }) => !files.has(path))
  return {
    manifestJson: Buffer.from(JSON.stringify(entries.flat())),
    files,
    plainLayers: unpacked.sort((a, b) => compareBytes(a.path, b.path)),
    leftOut,
  }
}

// Undefined where docker could make nothing of it: an artifact, or layers that are no tars.
async function imageForDocker(
  reader: BlobReader,
  root: Descriptor,
  platform: Platform,
  ctx: Context,
): Promise<PlatformImage | undefined> {
  const wanted = await orUndefined(imageFor(reader, root, platform, ctx))
  if (wanted !== undefined) return isForDocker(wanted) ? wanted : undefined
  for (const manifest of await listManifests(reader, root, ctx)) {
    const image = await orUndefined(readImage(reader, manifest, ctx))
    if (image !== undefined && isForDocker(image)) return image
  }
  return undefined
}

function isForDocker({ manifest, config }: PlatformImage): boolean {
  return (
    manifest.layers.every(layer => layerCompression(layer.mediaType) !== undefined) &&
    config.rootfs.diff_ids.length === manifest.layers.length
  )
}

async function orUndefined<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (isCloudimgError(error, 'PLATFORM_MISSING') || isCloudimgError(error, 'IMAGE_INVALID')) return undefined
    throw error
  }
}
