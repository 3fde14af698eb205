import type { Context } from '../../core/context.ts'
import { type Digest, hexOf } from '../../core/digest.ts'
import { each } from '../../core/each.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { formatReference, type Reference } from '../../core/reference.ts'
import type { Platform } from '../../core/platform.ts'
import { compareBytes } from '../../io/files.ts'
import { limits } from '../../io/limits.ts'
import { zstdDecode } from '../../io/zstd.ts'
import type { Node } from '../copy.ts'
import { type Descriptor, layerCompression } from '../descriptor.ts'
import { imageFor, listManifests, type PlatformImage, readImage } from '../document.ts'
import type { BlobReader } from '../ends.ts'
import { blobPath } from './blob-path.ts'

/**
 * A zstd layer unpacked, beside the blob itself: docker before version 23 cannot read zstd, and manifest.json is for those
 * who know no media types. Measured with docker 20.10.24, which takes it neither from an archive nor from a registry.
 */
export interface PlainLayer {
  readonly path: string
  readonly layer: Descriptor
  readonly diffId: Digest
  /** Unpacked. */
  readonly size: number
}

export interface DockerList {
  readonly manifestJson: Buffer
  readonly plainLayers: readonly PlainLayer[]
}

/** Docker's list of images, of each the one for that platform, else the first that there is. */
export async function listForDocker(
  reader: BlobReader,
  images: readonly { readonly graph: Node; readonly name: Reference }[],
  platform: Platform,
  ctx: Context,
): Promise<DockerList> {
  const plain = new Map<string, PlainLayer>()
  const entries = await each(images, 1, async ({ graph, name }) => {
    const image = await imageForDocker(reader, graph.descriptor, platform, ctx)
    if (image === undefined) return []
    const { digest: _digest, ...tagged } = name
    const Layers = await each(image.manifest.layers, 1, async (layer, i) => {
      if (layerCompression(layer.mediaType) !== 'zstd') return blobPath(layer.digest)
      const diffId = image.config.rootfs.diff_ids[i]!
      const path = `docker/${hexOf(diffId)}.tar`
      if (!plain.has(path)) plain.set(path, { path, layer, diffId, size: await unpackedSize(reader, layer, ctx) })
      return path
    })
    const RepoTags = name.tag === undefined ? [] : [formatReference(tagged)]
    return [{ Config: blobPath(image.manifest.config.digest), RepoTags, Layers }]
  })
  return {
    manifestJson: Buffer.from(JSON.stringify(entries.flat())),
    plainLayers: [...plain.values()].sort((a, b) => compareBytes(a.path, b.path)),
  }
}

// A tar says the size before the content: the layer is unpacked once to count and once to write, and kept nowhere.
async function unpackedSize(reader: BlobReader, layer: Descriptor, ctx: Context): Promise<number> {
  let size = 0
  for await (const chunk of unpackLayer(reader, layer, ctx)) size += chunk.length
  return size
}

/** The tar inside a zstd layer. @throws UNSAFE_ARCHIVE where it is out of all proportion. */
export async function* unpackLayer(reader: BlobReader, layer: Descriptor, ctx: Context): AsyncGenerator<Buffer> {
  const what = `layer ${layer.digest}`
  const allowed = limits.decompressionFreeBytes + layer.size * limits.decompressionRatio
  let size = 0
  for await (const chunk of zstdDecode(await reader.open(layer, ctx), what)) {
    size += chunk.length
    if (size > allowed) throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: it unpacks to too many bytes`)
    yield chunk
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
