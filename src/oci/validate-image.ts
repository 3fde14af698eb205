import { createHash } from 'node:crypto'
import { type Context, withTask } from '../core/context.ts'
import { shortDigest } from '../core/digest.ts'
import { each } from '../core/each.ts'
import { isCloudimgError } from '../core/error.ts'
import { formatPlatform, normalisePlatform, samePlatform } from '../core/platform.ts'
import { limits } from '../io/limits.ts'
import { readReferrers, readSelected, type Node, uniqueBlobs } from './copy.ts'
import { type Descriptor, isManifestType, layerCompression, mediaTypes } from './descriptor.ts'
import { parseConfig, parseManifest } from './document.ts'
import type { ImageSource } from './ends.ts'
import type { ImageConfig, Manifest } from './image.ts'
import { openLayerTar } from './layer-reader.ts'

/** Something in an image that is not as it should be. */
export interface ImageFault {
  /** The digest of the document or blob. */
  readonly what: string
  readonly why: string
}

export interface Validated {
  readonly documents: number
  readonly blobs: number
  /** Of all blobs, as stored. */
  readonly bytes: number
  readonly faults: readonly ImageFault[]
}

export interface ValidateOptions {
  /** Blobs read at once; 4 unless told. */
  readonly concurrency?: number
  /** Only asks whether the blobs are there, and reads none of them. */
  readonly fast?: boolean
}

/**
 * Reads an image as whoever deploys it would: every document and blob against its digest and size, every layer unpacked
 * against its diff_id, configs against manifests, an index against what it points at. Faults are gathered; what cannot be
 * read at all for other reasons (no network, no permission) is thrown.
 */
export async function validateImage(
  source: ImageSource,
  root: Descriptor,
  options: ValidateOptions,
  ctx: Context,
): Promise<Validated> {
  const graph = await readSelected(source, root, undefined, root.digest, ctx)
  const nodes = [graph, ...(await readReferrers(source, graph, ctx))].flatMap(flatten)
  const images = nodes.flatMap(node => (isManifestType(node.descriptor.mediaType) ? [readManifest(node)] : []))
  const faults: ImageFault[] = []
  for (const image of images) faults.push(...(await checkConfig(source, image, ctx)))
  const diffIds = new Map(images.flatMap(image => image.diffIds))
  const blobs = uniqueBlobs(nodes)
  const work = async (blob: Descriptor): Promise<void> => {
    const why = options.fast === true ? await isMissing(source, blob, ctx) : await checkBlob(source, blob, diffIds, ctx)
    if (why !== undefined) faults.push({ what: blob.digest, why })
  }
  await each(blobs, options.concurrency ?? 4, work)
  const bytes = blobs.reduce((sum, { size }) => sum + size, 0)
  return { documents: nodes.length, blobs: blobs.length, bytes, faults }
}

interface ReadManifest {
  readonly descriptor: Descriptor
  readonly manifest: Manifest
  /** By a layer's digest; filled by its config. */
  readonly diffIds: [digest: string, diffId: string][]
}

function flatten(node: Node): readonly Node[] {
  return [node, ...node.children.flatMap(flatten)]
}

function readManifest({ descriptor, bytes }: Node): ReadManifest {
  return { descriptor, manifest: parseManifest(bytes, descriptor.digest), diffIds: [] }
}

const configTypes: readonly string[] = [mediaTypes.config, mediaTypes.dockerConfig]

// An artifact's config is its own affair: only an image's says something about the layers.
async function checkConfig(source: ImageSource, image: ReadManifest, ctx: Context): Promise<readonly ImageFault[]> {
  const { manifest } = image
  if (!configTypes.includes(manifest.config.mediaType)) return []
  let config: ImageConfig
  try {
    config = parseConfig(await readSmall(source, manifest.config, ctx), manifest.config.digest)
  } catch (error) {
    return [{ what: manifest.config.digest, why: faultOf(error) }]
  }
  const { diff_ids: diffIds } = config.rootfs
  manifest.layers.forEach((layer, i) => image.diffIds.push([layer.digest, diffIds[i] ?? '']))
  return contradictions(image, config).map(why => ({ what: image.descriptor.digest, why }))
}

function contradictions({ descriptor, manifest }: ReadManifest, config: ImageConfig): readonly string[] {
  const found: string[] = []
  const { diff_ids: diffIds } = config.rootfs
  if (diffIds.length !== manifest.layers.length)
    found.push(`its manifest has ${manifest.layers.length} layers, its config ${diffIds.length} diff_ids`)
  const made = config.history?.filter(entry => entry.empty_layer !== true).length
  if (made !== undefined && made > 0 && made !== diffIds.length)
    found.push(`its config's history tells of ${made} layers, its rootfs of ${diffIds.length}`)
  const claimed = descriptor.platform === undefined ? undefined : normalisePlatform(descriptor.platform)
  const own = normalisePlatform(config)
  if (claimed !== undefined && own !== undefined && !samePlatform(claimed, own))
    found.push(`the index has it for ${formatPlatform(claimed)}, its config is for ${formatPlatform(own)}`)
  return found
}

async function readSmall(source: ImageSource, blob: Descriptor, ctx: Context): Promise<Buffer> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of (await source.open(blob, ctx)) as AsyncIterable<Buffer>) {
    size += part.length
    if (size <= limits.configBytes) parts.push(part)
  }
  return Buffer.concat(parts)
}

async function isMissing(source: ImageSource, blob: Descriptor, ctx: Context): Promise<string | undefined> {
  return (await source.has(blob, ctx)) ? undefined : 'it is not there'
}

/** Opening it whole verifies digest and size; a layer of another digest than its diff_id is unpacked, too. */
async function checkBlob(
  source: ImageSource,
  blob: Descriptor,
  diffIds: ReadonlyMap<string, string>,
  ctx: Context,
): Promise<string | undefined> {
  return await withTask(ctx, `blob ${shortDigest(blob.digest)}`, async task => {
    try {
      const diffId = diffIds.get(blob.digest)
      const unpacks = diffId !== undefined && layerCompression(blob.mediaType) !== undefined && diffId !== blob.digest
      const body = unpacks ? await openLayerTar(source, blob, ctx) : await source.open(blob, ctx)
      const hash = createHash('sha256')
      let done = 0
      for await (const chunk of body as AsyncIterable<Buffer>) {
        done += chunk.length
        if (unpacks) hash.update(chunk)
        task.progress(done, unpacks ? undefined : blob.size)
      }
      const found = unpacks ? `sha256:${hash.digest('hex')}` : diffId
      if (found === diffId) return undefined
      task.end('failed')
      return `it unpacks to ${found}, its config says ${diffId}`
    } catch (error) {
      const why = faultOf(error)
      task.end('failed')
      return why
    }
  })
}

const faultCodes = new Set([
  'DIGEST_MISMATCH',
  'SIZE_MISMATCH',
  'IMAGE_INVALID',
  'IMAGE_NOT_FOUND',
  'ARCHIVE_INVALID',
  'UNSAFE_ARCHIVE',
])

/** @throws what is no fault of the image. */
function faultOf(error: unknown): string {
  if (isCloudimgError(error) && faultCodes.has(error.code)) return error.message
  throw error
}
