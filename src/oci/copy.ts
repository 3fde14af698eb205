import { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import { digestOf } from '../core/digest.ts'
import { each } from '../core/each.ts'
import { CloudimgError } from '../core/error.ts'
import { formatPlatform, normalisePlatform, type Platform, samePlatform } from '../core/platform.ts'
import { limits } from '../io/limits.ts'
import { readPieces } from '../io/pieces.ts'
import { streamOf } from '../io/read-file.ts'
import { CopySum } from './copy-sum.ts'
import { type Descriptor, isIndexType, isManifestType, mediaTypes } from './descriptor.ts'
import { countDocuments, type DocumentCount, parseIndex, parseManifest, readDocument } from './document.ts'
import type { BlobSource, ByteRange, ImageSource, ImageTarget, Place, Written } from './ends.ts'

export interface CopyOptions {
  /** Only these; all where absent. One gives the plain image manifest, several a smaller index. */
  readonly platforms?: readonly Platform[]
  /** Blobs under way at once; 4 unless told. */
  readonly concurrency?: number
  /** Whether signatures and SBOMs go along; true unless told. */
  readonly referrers?: boolean
  /** What people see the sum of all blobs as; no sum where absent. */
  readonly title?: string
  /** A repository of the target's registry that has the blob, to mount it from; a hint, and may be wrong. */
  readonly mountFrom?: (blob: Descriptor) => Place | undefined
}

/** A document and all that must stand at the target before it. */
export interface Node {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
  readonly children: readonly Node[]
  readonly blobs: readonly Descriptor[]
}

/**
 * push, pull, save, load and tag are this one function with different ends. Blobs first, then manifests, then indexes,
 * the name last: whoever reads the name finds everything below it.
 * @throws IMAGE_NOT_FOUND, PLATFORM_MISSING, IMAGE_INVALID, DIGEST_MISMATCH and what the ends throw.
 */
export async function copyImage(
  from: ImageSource,
  fromName: string,
  to: ImageTarget,
  toName: string | undefined,
  options: CopyOptions,
  ctx: Context,
): Promise<Descriptor> {
  const root = await from.resolve(fromName, ctx)
  if (root === undefined)
    throw new CloudimgError('IMAGE_NOT_FOUND', `copying "${fromName}": no such image at the source`)
  const graph = await readSelected(from, root, options.platforms, fromName, ctx)
  const extra = options.referrers === false ? [] : await readReferrers(from, graph, ctx)
  await copyBlobs(from, to, uniqueBlobs([graph, ...extra]), options, ctx)
  for (const node of [graph, ...extra]) await writeDocuments(to, node, ctx)
  if (toName !== undefined) await to.tag(toName, graph.descriptor, ctx)
  return graph.descriptor
}

/** The documents of an image, of all platforms or of some. @throws PLATFORM_MISSING naming what there is. */
export async function readSelected(
  from: ImageSource,
  root: Descriptor,
  platforms: readonly Platform[] | undefined,
  name: string,
  ctx: Context,
): Promise<Node> {
  return platforms === undefined
    ? await readGraph(from, root, ctx, 0, countDocuments(root))
    : await readPlatforms(from, root, platforms, name, ctx)
}

async function readGraph(
  from: ImageSource,
  descriptor: Descriptor,
  ctx: Context,
  depth: number,
  count: DocumentCount,
): Promise<Node> {
  if (depth > limits.indexDepth)
    throw new CloudimgError(
      'IMAGE_INVALID',
      `reading ${descriptor.digest}: indexes nested deeper than ${limits.indexDepth}`,
    )
  const bytes = await readDocument(from, descriptor, ctx)
  if (isIndexType(descriptor.mediaType)) {
    const index = parseIndex(bytes, descriptor.digest)
    index.manifests.forEach(count)
    const children = await each(index.manifests, 4, child => readGraph(from, child, ctx, depth + 1, count))
    return { descriptor, bytes, children, blobs: [] }
  }
  if (isManifestType(descriptor.mediaType)) {
    const manifest = parseManifest(bytes, descriptor.digest)
    return { descriptor, bytes, children: [], blobs: [manifest.config, ...manifest.layers] }
  }
  throw new CloudimgError(
    'IMAGE_INVALID',
    `reading ${descriptor.digest}: "${descriptor.mediaType}" is neither manifest nor index`,
  )
}

/** Only the wanted platforms are read: an archive or a registry may lack the others' bytes. */
async function readPlatforms(
  from: ImageSource,
  root: Descriptor,
  platforms: readonly Platform[],
  name: string,
  ctx: Context,
): Promise<Node> {
  const count = countDocuments(root)
  if (!isIndexType(root.mediaType)) return await readGraph(from, root, ctx, 0, count)
  const bytes = await readDocument(from, root, ctx)
  const index = parseIndex(bytes, root.digest)
  const chosen = platforms.map(platform => findPlatform(index.manifests, platform, name))
  const children = await each(chosen, 4, child => readGraph(from, child, ctx, 1, count))
  if (chosen.length === index.manifests.length) return { descriptor: root, bytes, children, blobs: [] }
  if (children.length === 1) return children[0]!
  return documentNode(
    { mediaType: mediaTypes.index },
    Buffer.from(JSON.stringify({ ...index, manifests: chosen })),
    children,
  )
}

function findPlatform(entries: readonly Descriptor[], platform: Platform, name: string): Descriptor {
  const found = entries.find(entry => {
    const claimed = entry.platform === undefined ? undefined : normalisePlatform(entry.platform)
    return claimed !== undefined && samePlatform(claimed, platform)
  })
  if (found !== undefined) return found
  const has = entries.flatMap(entry =>
    entry.platform === undefined ? [] : `${entry.platform.os}/${entry.platform.architecture}`,
  )
  throw new CloudimgError(
    'PLATFORM_MISSING',
    `copying "${name}": no ${formatPlatform(platform)} in it, found ${has.join(', ')}`,
  )
}

function documentNode(kind: { readonly mediaType: string }, bytes: Buffer, children: readonly Node[]): Node {
  return { descriptor: { ...kind, digest: digestOf(bytes), size: bytes.length }, bytes, children, blobs: [] }
}

export async function readReferrers(from: ImageSource, graph: Node, ctx: Context): Promise<readonly Node[]> {
  const subjects = [graph, ...graph.children].map(node => node.descriptor.digest)
  const lists = await each(subjects, 4, subject => from.referrers(subject, ctx))
  const count = countDocuments(graph.descriptor)
  return await each(lists.flat(), 4, descriptor => readGraph(from, descriptor, ctx, 1, count))
}

export function uniqueBlobs(nodes: readonly Node[]): readonly Descriptor[] {
  const found = new Map<string, Descriptor>()
  const visit = (node: Node): void => {
    for (const blob of node.blobs) found.set(blob.digest, blob)
    node.children.forEach(visit)
  }
  nodes.forEach(visit)
  return [...found.values()].sort((a, b) => b.size - a.size)
}

async function copyBlobs(
  from: ImageSource,
  to: ImageTarget,
  blobs: readonly Descriptor[],
  options: CopyOptions,
  ctx: Context,
): Promise<void> {
  const sum = new CopySum(ctx, options.title, blobs)
  await sum.during(async () => {
    const missing = await to.missing?.(blobs, ctx)
    await each(blobs, options.concurrency ?? 4, async blob => {
      await sum.blob(blob, async progress =>
        missing?.has(blob.digest) === false
          ? 'present'
          : await copyBlob(from, to, blob, missing !== undefined, options, progress, ctx),
      )
    })
  })
}

async function copyBlob(
  from: ImageSource,
  to: ImageTarget,
  blob: Descriptor,
  isMissing: boolean,
  options: CopyOptions,
  progress: (bytes: number) => void,
  ctx: Context,
): Promise<Written> {
  // What the target hashes itself need not be hashed by the source too: a range is passed on as it comes. Nor what the
  // source knows to be right: registries hash it again.
  const whole = to.verifiesWrites === true ? { offset: 0 } : undefined
  const place = options.mountFrom?.(blob) ?? from.place
  const source: BlobSource = {
    open: async (range: ByteRange | undefined = whole) => {
      const pieces = range === undefined ? await from.pieces?.(blob, ctx) : undefined
      return pieces === undefined ? await from.open(blob, ctx, range) : streamOf(readPieces(pieces))
    },
    ...(place === undefined ? {} : { from: place }),
    ...(isMissing ? { isMissing } : {}),
  }
  return await to.write(blob, source, ctx, progress)
}

async function writeDocuments(to: ImageTarget, node: Node, ctx: Context): Promise<void> {
  await each(node.children, 4, child => writeDocuments(to, child, ctx))
  await to.write(node.descriptor, { open: async () => Readable.from([node.bytes]) }, ctx)
}
