import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { each } from '../../core/each.ts'
import { isCloudimgError } from '../../core/error.ts'
import { formatReference, type Reference } from '../../core/reference.ts'
import { hostPlatform, type Platform } from '../../core/platform.ts'
import { compareBytes } from '../../io/files.ts'
import { type Node, readGraph, readReferrers, selectPlatforms, uniqueBlobs } from '../copy.ts'
import { type Descriptor, layerCompression, mediaTypes } from '../descriptor.ts'
import { imageFor, listManifests, type PlatformImage, readImage } from '../document.ts'
import type { BlobReader, ImageSource } from '../ends.ts'
import { streamOf } from '../../io/read-file.ts'
import { annotationNames } from './annotations.ts'

/** An image to save, and the name it gets in the archive. */
export interface ArchiveRoot {
  readonly name: Reference
  readonly descriptor: Descriptor
  /** Only these; all where absent. One gives the plain image manifest, several a smaller index. */
  readonly platforms?: readonly Platform[]
}

export interface ArchiveOptions {
  /** The one platform that loaders without indexes get; this machine's unless told, else the first that there is. */
  readonly platform?: Platform
  /** Whether signatures and SBOMs go along; true unless told. */
  readonly referrers?: boolean
}

/** All that an archive of the images consists of, before a blob is read. */
export interface ArchivePlan {
  /** Each once, in byte order of their digests: manifests, indexes, configs and layers. */
  readonly blobs: readonly Descriptor[]
  /** Those of the blobs that are made or read already. */
  readonly documents: ReadonlyMap<Digest, Buffer>
  readonly indexJson: Buffer
  /** Docker's list of images; for loaders that know nothing of OCI. */
  readonly manifestJson: Buffer
}

export const ociLayout = Buffer.from('{"imageLayoutVersion":"1.0.0"}')

/** @throws IMAGE_NOT_FOUND, PLATFORM_MISSING, IMAGE_INVALID. */
export async function planArchive(
  source: ImageSource,
  roots: readonly ArchiveRoot[],
  options: ArchiveOptions,
  ctx: Context,
): Promise<ArchivePlan> {
  const graphs = await each(roots, 4, async root => await chosenGraph(source, root, ctx))
  const extra =
    options.referrers === false ? [] : await each(graphs, 4, async graph => await readReferrers(source, graph, ctx))
  const documents = new Map<Digest, Buffer>()
  const descriptors = new Map<Digest, Descriptor>()
  for (const node of [...graphs, ...extra.flat()]) collect(node, documents, descriptors)
  for (const blob of uniqueBlobs([...graphs, ...extra.flat()])) descriptors.set(blob.digest, blob)
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [
      ...graphs.map((graph, i) => named(graph.descriptor, roots[i]!.name)),
      ...uniqueReferrers(graphs, extra),
    ],
  }
  const reader = over(source, documents)
  const platform = options.platform ?? hostPlatform()
  const entries = await each(graphs, 4, async (graph, i) => await dockerEntry(reader, graph, roots[i]!, platform, ctx))
  return {
    blobs: [...descriptors.values()].sort((a, b) => compareBytes(a.digest, b.digest)),
    documents,
    indexJson: Buffer.from(JSON.stringify(index)),
    manifestJson: Buffer.from(JSON.stringify(entries.filter(entry => entry !== undefined))),
  }
}

async function chosenGraph(source: ImageSource, root: ArchiveRoot, ctx: Context): Promise<Node> {
  const whole = await readGraph(source, root.descriptor, ctx, 0)
  return root.platforms === undefined ? whole : selectPlatforms(whole, root.platforms, formatReference(root.name))
}

function collect(node: Node, documents: Map<Digest, Buffer>, descriptors: Map<Digest, Descriptor>): void {
  documents.set(node.descriptor.digest, node.bytes)
  descriptors.set(node.descriptor.digest, node.descriptor)
  for (const child of node.children) collect(child, documents, descriptors)
}

function named({ mediaType, digest, size }: Descriptor, name: Reference): Descriptor {
  if (name.tag === undefined) return { mediaType, digest, size }
  const { digest: _digest, ...tagged } = name
  const annotations = { [annotationNames.imageName]: formatReference(tagged), [annotationNames.refName]: name.tag }
  return { mediaType, digest, size, annotations }
}

// Without a name, so that no loader takes them for images of their own; containerd's word says what they belong to.
function uniqueReferrers(graphs: readonly Node[], extra: readonly (readonly Node[])[]): readonly Descriptor[] {
  const listed = new Map<Digest, Descriptor>()
  extra.forEach((nodes, i) => {
    for (const { descriptor } of nodes) {
      const { mediaType, digest, size, artifactType } = descriptor
      const annotations = { [annotationNames.subject]: graphs[i]!.descriptor.digest }
      listed.set(digest, {
        mediaType,
        digest,
        size,
        annotations,
        ...(artifactType === undefined ? {} : { artifactType }),
      })
    }
  })
  return [...listed.values()].sort((a, b) => compareBytes(a.digest, b.digest))
}

/** The source, with documents that are in memory before it: a selection of platforms exists nowhere else. */
function over(source: ImageSource, documents: ReadonlyMap<Digest, Buffer>): BlobReader {
  return {
    has: async (blob, ctx) => documents.has(blob.digest) || (await source.has(blob, ctx)),
    open: async (blob, ctx, range) => {
      const bytes = documents.get(blob.digest)
      if (bytes === undefined || range !== undefined) return await source.open(blob, ctx, range)
      return streamOf(once(bytes))
    },
  }
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

interface DockerEntry {
  readonly Config: string
  readonly RepoTags: readonly string[]
  readonly Layers: readonly string[]
}

// Undefined where docker could make nothing of it: an artifact, or layers that are no tars.
async function dockerEntry(
  reader: BlobReader,
  graph: Node,
  { name }: ArchiveRoot,
  platform: Platform,
  ctx: Context,
): Promise<DockerEntry | undefined> {
  const image = await imageForDocker(reader, graph.descriptor, platform, ctx)
  if (image === undefined) return undefined
  const { config, layers } = image.manifest
  if (layers.some(layer => layerCompression(layer.mediaType) === undefined)) return undefined
  const { digest: _digest, ...tagged } = name
  return {
    Config: blobPath(config.digest),
    RepoTags: name.tag === undefined ? [] : [formatReference(tagged)],
    Layers: layers.map(layer => blobPath(layer.digest)),
  }
}

async function imageForDocker(
  reader: BlobReader,
  root: Descriptor,
  platform: Platform,
  ctx: Context,
): Promise<PlatformImage | undefined> {
  try {
    return await imageFor(reader, root, platform, ctx)
  } catch (error) {
    if (!isCloudimgError(error, 'PLATFORM_MISSING') && !isCloudimgError(error, 'IMAGE_INVALID')) throw error
  }
  for (const manifest of await listManifests(reader, root, ctx)) {
    try {
      return await readImage(reader, manifest, ctx)
    } catch (error) {
      if (!isCloudimgError(error, 'PLATFORM_MISSING') && !isCloudimgError(error, 'IMAGE_INVALID')) throw error
    }
  }
  return undefined
}

/** `blobs/sha256/<hex>`, in archives and layouts alike. */
export function blobPath(digest: Digest): string {
  return `blobs/${digest.replace(':', '/')}`
}
