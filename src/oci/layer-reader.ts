import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { decompress } from '../io/compression.ts'
import { limits } from '../io/limits.ts'
import { readTar, type ReadEntry } from '../io/tar.ts'
import { type Descriptor, layerCompression } from './descriptor.ts'
import type { BlobReader } from './ends.ts'
import { MergedTree } from './merged-tree.ts'

/** A layer's plain tar. @throws IMAGE_INVALID for a media type that is no layer, UNSAFE_ARCHIVE for a bomb. */
export async function openLayerTar(
  source: BlobReader,
  layer: Descriptor,
  ctx: Context,
): Promise<AsyncIterable<Buffer>> {
  const compression = layerCompression(layer.mediaType)
  const what = `layer ${layer.digest}`
  if (compression === undefined)
    throw new CloudimgError('IMAGE_INVALID', `reading ${what}: "${layer.mediaType}" is no file system layer`)
  const body = await source.open(layer, ctx)
  return closing(boundedUnpacking(decompress(body as AsyncIterable<Buffer>, compression, what), layer.size, what), body)
}

async function* closing(source: AsyncIterable<Buffer>, body: Readable): AsyncGenerator<Buffer> {
  try {
    yield* source
  } finally {
    body.destroy()
  }
}

/** What comes out of `packed` bytes, as far as it may. @throws UNSAFE_ARCHIVE for a bomb. */
export async function* boundedUnpacking(
  source: AsyncIterable<Buffer>,
  packed: number,
  what: string,
): AsyncGenerator<Buffer> {
  const most = Math.min(limits.archiveBytes, limits.decompressionFreeBytes + packed * limits.decompressionRatio)
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > most)
      throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: ${packed} bytes unpack to more than ${most}`)
    yield chunk
  }
}

export async function readLayer(
  source: BlobReader,
  layer: Descriptor,
  ctx: Context,
): Promise<AsyncGenerator<ReadEntry>> {
  return readTar(await openLayerTar(source, layer, ctx), `layer ${layer.digest}`)
}

/**
 * The tree of an image's layers, read in order, with where each file's bytes stand. With `diffIds` the layers are held
 * against what the image's config says. @throws DIGEST_MISMATCH, UNSAFE_ARCHIVE, IMAGE_INVALID, ARCHIVE_INVALID.
 */
export async function mergeLayers(
  source: BlobReader,
  layers: readonly Descriptor[],
  ctx: Context,
  diffIds?: readonly Digest[],
): Promise<MergedTree> {
  const tree = new MergedTree()
  if (diffIds !== undefined && diffIds.length !== layers.length)
    throw new CloudimgError(
      'IMAGE_INVALID',
      `reading the layers: ${layers.length} of them, but ${diffIds.length} diff_ids`,
    )
  for (const [i, layer] of layers.entries()) {
    tree.beginLayer()
    const what = `layer ${layer.digest}`
    const plain = await openLayerTar(source, layer, ctx)
    const checked = diffIds === undefined ? plain : withDiffId(plain, layer, diffIds[i]!, what)
    for await (const entry of readTar(checked, what)) tree.add(entry, what)
  }
  return tree
}

/** A plain layer was hashed on its way from the source: its digest is its diff_id. */
function withDiffId(
  plain: AsyncIterable<Buffer>,
  layer: Descriptor,
  wanted: Digest,
  what: string,
): AsyncIterable<Buffer> {
  if (layerCompression(layer.mediaType) !== 'none') return hashed(plain, wanted, what)
  if (layer.digest !== wanted) throw diffIdMismatch(what, wanted, layer.digest)
  return plain
}

async function* hashed(plain: AsyncIterable<Buffer>, wanted: Digest, what: string): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  for await (const chunk of plain) {
    hash.update(chunk)
    yield chunk
  }
  const found: Digest = `sha256:${hash.digest('hex')}`
  if (found !== wanted) throw diffIdMismatch(what, wanted, found)
}

function diffIdMismatch(what: string, wanted: Digest, found: Digest): CloudimgError {
  return new CloudimgError('DIGEST_MISMATCH', `unpacking ${what}: wanted diff_id ${wanted}, found ${found}`, {
    data: { wanted, found },
  })
}
