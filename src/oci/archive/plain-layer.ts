import { createHash } from 'node:crypto'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import { digestMismatch, sizeMismatch } from '../../io/hash.ts'
import { limits } from '../../io/limits.ts'
import { listZstdFrames, unpackZstdFrames } from '../../io/zstd-frames.ts'
import { zstdDecode } from '../../io/zstd.ts'
import type { Descriptor } from '../descriptor.ts'
import type { BlobReader } from '../ends.ts'

/**
 * A zstd layer unpacked: docker before version 23 cannot read zstd, and manifest.json is for those who know no media types.
 * Measured with docker 20.10.24, which takes it neither from an archive nor from a registry.
 */
export interface PlainLayer {
  readonly path: string
  readonly layer: Descriptor
  readonly diffId: Digest
}

/** Of the tar inside, where the layer's frames say it. */
export async function plainSizeIfTold(
  reader: BlobReader,
  { layer }: PlainLayer,
  ctx: Context,
): Promise<number | undefined> {
  const frames = (await framesOf(reader, layer, ctx))?.frames
  const sizes = frames?.map(frame => frame.size)
  return sizes?.reduce((sum, size) => (sum === undefined || size === undefined ? undefined : sum + size), 0)
}

/**
 * The tar inside a zstd layer, its frames unpacked on all cores where they lie in a file.
 * @throws UNSAFE_ARCHIVE where it is out of all proportion; DIGEST_MISMATCH where the config says another diff_id.
 */
export async function* unpackPlainLayer(
  reader: BlobReader,
  { layer, diffId }: PlainLayer,
  ctx: Context,
): AsyncGenerator<Buffer> {
  const what = `layer ${layer.digest}`
  const allowed = limits.decompressionFreeBytes + layer.size * limits.decompressionRatio
  const found = await framesOf(reader, layer, ctx)
  const chunks =
    found === undefined
      ? zstdDecode(await reader.open(layer, ctx), what)
      : unpackZstdFrames(found.file, found.frames, what)
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of chunks) {
    size += chunk.length
    if (size > allowed) throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: it unpacks to too many bytes`)
    hash.update(chunk)
    yield chunk
  }
  const plain: Digest = `sha256:${hash.digest('hex')}`
  if (plain !== diffId) throw digestMismatch(`the content of ${what}`, diffId, plain)
}

async function framesOf(reader: BlobReader, layer: Descriptor, ctx: Context) {
  const [piece, ...more] = (await reader.pieces?.(layer, ctx)) ?? []
  if (piece === undefined || more.length > 0 || Buffer.isBuffer(piece)) return undefined
  const frames = await listZstdFrames(piece)
  return frames === undefined ? undefined : { file: piece.file, frames }
}

/** By unpacking, where the frames do not say it. */
export async function plainSize(reader: BlobReader, plain: PlainLayer, ctx: Context): Promise<number> {
  const told = await plainSizeIfTold(reader, plain, ctx)
  if (told !== undefined) return told
  let size = 0
  for await (const chunk of unpackPlainLayer(reader, plain, ctx)) size += chunk.length
  return size
}

/** As many bytes as were promised in a header. @throws SIZE_MISMATCH. */
export async function* ofSize(chunks: AsyncIterable<Buffer>, size: number, what: string): AsyncGenerator<Buffer> {
  let seen = 0
  for await (const chunk of chunks) {
    seen += chunk.length
    if (seen > size) break
    yield chunk
  }
  if (seen !== size) throw sizeMismatch(what, size, seen)
}
