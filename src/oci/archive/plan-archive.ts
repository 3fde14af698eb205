import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { each } from '../../core/each.ts'
import { familiarReference, formatReference, type Reference } from '../../core/reference.ts'
import type { Platform } from '../../core/platform.ts'
import { compareBytes } from '../../io/files.ts'
import { type Node, readReferrers, readSelected, uniqueBlobs } from '../copy.ts'
import { type Descriptor, mediaTypes } from '../descriptor.ts'
import type { BlobReader, ImageSource } from '../ends.ts'
import type { Piece } from '../../io/pieces.ts'
import { streamOf } from '../../io/read-file.ts'
import { annotationNames } from './annotations.ts'
import type { LeftOut } from './delta.ts'
import type { Inventory } from './inventory.ts'

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
  /** What the other side has: these configs and layers are left out. Manifests never are. */
  readonly have?: Inventory
}

/** All that an archive of the images consists of, before a blob is read. */
export interface ArchivePlan {
  /** Each once, in byte order of their digests: manifests, indexes, configs and layers. */
  readonly blobs: readonly Descriptor[]
  /** Those of the blobs that are made or read already. */
  readonly documents: ReadonlyMap<Digest, Buffer>
  readonly indexJson: Buffer
  /** In byte order. */
  readonly leftOut: readonly LeftOut[]
  readonly images: readonly { readonly graph: Node; readonly name: Reference }[]
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
  const sorted = [...descriptors.values()].sort((a, b) => compareBytes(a.digest, b.digest))
  const isLeftOut = ({ digest }: Descriptor): boolean => !documents.has(digest) && options.have?.has(digest) === true
  return {
    blobs: sorted.filter(blob => !isLeftOut(blob)),
    documents,
    indexJson: Buffer.from(JSON.stringify(index)),
    leftOut: sorted.filter(isLeftOut).map(blob => ({ blob, names: options.have?.get(blob.digest) ?? [] })),
    images: graphs.map((graph, i) => ({ graph, name: roots[i]!.name })),
  }
}

async function chosenGraph(source: ImageSource, root: ArchiveRoot, ctx: Context): Promise<Node> {
  return await readSelected(source, root.descriptor, root.platforms, formatReference(root.name), ctx)
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
export function over(source: ImageSource, documents: ReadonlyMap<Digest, Buffer>): BlobReader {
  return {
    has: async (blob, ctx) => documents.has(blob.digest) || (await source.has(blob, ctx)),
    open: async (blob, ctx, range) => {
      const bytes = documents.get(blob.digest)
      if (bytes === undefined || range !== undefined) return await source.open(blob, ctx, range)
      return streamOf(once(bytes))
    },
    ...(source.pieces === undefined ? {} : { pieces: (blob, ctx) => piecesOf(source, documents, blob, ctx) }),
  }
}

async function piecesOf(
  source: ImageSource,
  documents: ReadonlyMap<Digest, Buffer>,
  blob: Descriptor,
  ctx: Context,
): Promise<readonly Piece[]> {
  const bytes = documents.get(blob.digest)
  return bytes === undefined ? await source.pieces!(blob, ctx) : [bytes]
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

/** What people see the saving as. */
export function savingTitle(roots: readonly ArchiveRoot[]): string {
  return `saving ${roots.map(({ name }) => familiarReference(name)).join(', ')}`
}
