import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { KiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import { fileError, withFileErrors } from '../../io/files.ts'
import { hashFileInto, sizeMismatch } from '../../io/hash.ts'
import { Packer } from '../../io/packer.ts'
import { readFileRange } from '../../io/read-file.ts'
import { tarEnd, tarPadding } from '../../io/tar.ts'
import { type Descriptor, mediaTypes } from '../../oci/descriptor.ts'
import { blobPath } from '../../oci/store/layout.ts'
import type { Segment } from '../../oci/store/recipe.ts'
import type { Store } from '../../oci/store/store.ts'
import type { TreeFile } from '../tree.ts'
import { readContent } from '../tree-content.ts'
import { type Compression, compressChunks, isCompressible } from './compress.ts'
import { EntryHeaders } from './entry-header.ts'
import type { BuiltLayer } from './layer-cache.ts'
import type { LayerSpec } from './layer-spec.ts'

export interface LayerOptions {
  /** Seconds; every entry's mtime. */
  readonly epoch: number
  readonly compression: Compression
  /** Files whose own sha256 the caller needs; hashed in the same pass. */
  readonly wantsDigest: (path: string) => boolean
}

/**
 * Makes a layer's bytes and their digests in one pass. Over downloads alone it is a recipe and writes nothing but that;
 * else it is one blob: the private copy of the context's files, so that later edits there change no image.
 * @throws CONTEXT_INVALID where a file changed while it was read; DISK_FULL, FILE_ERROR.
 */
export async function makeLayer(
  store: Store,
  spec: LayerSpec,
  options: LayerOptions,
  ctx: Context,
  onProgress: (bytes: number) => void = () => {},
): Promise<BuiltLayer> {
  const files: Record<string, Digest> = {}
  const isRecipe =
    spec.entries.some(entry => entry.type === 'file') &&
    spec.entries.every(entry => entry.type !== 'file' || entry.content.from === 'pool')
  if (isRecipe) return makeRecipe(store, spec, options, files, ctx, onProgress)
  const pack =
    options.compression !== 'none' && (await isCompressible(store, spec, ctx)) ? options.compression : undefined
  const diff = createHash('sha256')
  const tar = hashed(counted(tarBytes(store, spec, options, files, ctx), onProgress), diff)
  if (pack === undefined) {
    const written = await writeBlob(store, tar, undefined)
    const digest = digestFrom(diff)
    await written.commit(digest)
    return { descriptor: { mediaType: mediaTypes.layer, digest, size: written.size }, diffId: digest, files }
  }
  const packed = createHash('sha256')
  const written = await writeBlob(store, compressChunks(tar, pack), packed)
  const digest = digestFrom(packed)
  await written.commit(digest)
  const mediaType = pack === 'zstd' ? mediaTypes.layerZstd : mediaTypes.layerGzip
  return { descriptor: { mediaType, digest, size: written.size }, diffId: digestFrom(diff), files }
}

/** The diff_id that `makeLayer` would give, without writing anything. */
export async function digestLayer(store: Store, spec: LayerSpec, options: LayerOptions, ctx: Context): Promise<Digest> {
  const hash = createHash('sha256')
  for await (const chunk of tarBytes(store, spec, options, {}, ctx)) hash.update(chunk)
  return digestFrom(hash)
}

function digestFrom(hash: Hash): Digest {
  return `sha256:${hash.digest('hex')}`
}

async function* counted(source: AsyncIterable<Buffer>, onProgress: (bytes: number) => void): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const chunk of source) {
    yield chunk
    onProgress((bytes += chunk.length))
  }
}

async function* hashed(source: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    hash.update(chunk)
    yield chunk
  }
}

async function writeBlob(
  store: Store,
  source: AsyncIterable<Buffer>,
  hash: Hash | undefined,
): Promise<{ readonly size: number; commit(digest: Digest): Promise<void> }> {
  const draft = await store.draft()
  try {
    const size = await withFileErrors('writing a layer below', store.layout.temporary, async () => {
      const handle = await open(draft.path, 'r+')
      try {
        let written = 0
        // The next chunk is read and hashed while this one goes to disk.
        let writing: Promise<unknown> = Promise.resolve()
        for await (const chunk of source) {
          hash?.update(chunk)
          await writing
          writing = writeAll(handle, chunk)
          writing.catch(() => {})
          written += chunk.length
        }
        await writing
        return written
      } finally {
        await handle.close()
      }
    })
    return { size, commit: digest => draft.commit(digest) }
  } catch (error) {
    await draft.discard()
    throw error
  }
}

// Not `writeFile`: it cuts what it is given into pieces of 512 KiB, each with its own turn in the thread pool.
async function writeAll(handle: FileHandle, chunk: Buffer): Promise<void> {
  for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at)).bytesWritten
}

/** A plain tar of the entries, byte for byte what a layer of them is, in pieces of about 1 MiB. */
export async function* tarBytes(
  store: Store,
  spec: LayerSpec,
  options: LayerOptions,
  files: Record<string, Digest>,
  ctx: Context,
): AsyncGenerator<Buffer> {
  const headers = new EntryHeaders(options.epoch)
  const packer = new Packer()
  /** By group of hard links. */
  const linked = new Map<string | undefined, Digest>()
  for (const entry of spec.entries) {
    ctx.signal.throwIfAborted()
    const { header, hasContent } = headers.next(entry)
    yield* packer.add(header)
    if (entry.type !== 'file') continue
    if (!hasContent) {
      const digest = linked.get(entry.links)
      if (digest !== undefined && options.wantsDigest(entry.path)) files[entry.path] = digest
      continue
    }
    if (entry.content.from === 'pool') files[entry.path] = entry.content.digest
    const isWanted = options.wantsDigest(entry.path)
    const hash =
      entry.content.from !== 'pool' && (isWanted || entry.links !== undefined) ? createHash('sha256') : undefined
    const { content, size } = entry
    if (content.from === 'context' && size <= readAtOnce) {
      yield* packer.makeRoom(size + 1)
      const bytes = smallFile(packer, content.path, size)
      hash?.update(bytes)
    } else {
      for await (const chunk of contentOf(store, entry, ctx)) {
        hash?.update(chunk)
        yield* packer.add(chunk)
      }
    }
    if (hash !== undefined) {
      const digest = digestFrom(hash)
      if (isWanted) files[entry.path] = digest
      if (entry.links !== undefined) linked.set(entry.links, digest)
    }
    yield* packer.add(tarPadding(size))
  }
  yield* packer.add(tarEnd)
  yield* packer.rest()
}

function contentOf(store: Store, entry: TreeFile, ctx: Context): AsyncIterable<Buffer> {
  const { content, size } = entry
  if (content.from === 'context') return unchangedFile(content.path, size)
  return readContent(store, entry, { offset: 0, length: size }, ctx)
}

// Up to this size a file is read with one call.
const readAtOnce = 256 * KiB

// The header before says the size: a file that grew or shrank since it was listed cannot go into this layer.
async function* unchangedFile(path: string, size: number): AsyncGenerator<Buffer> {
  let seen = 0
  for await (const chunk of readFileRange(path)) {
    seen += chunk.length
    if (seen > size) break
    yield chunk
  }
  if (seen !== size) throw changed(path)
}

function smallFile(packer: Packer, path: string, size: number): Buffer {
  let bytes: Buffer
  try {
    bytes = packer.addFile(path, size + 1)
  } catch (error) {
    throw fileError('reading', path, error)
  }
  if (bytes.length !== size) throw changed(path)
  return bytes
}

function changed(path: string): CloudimgError {
  return new CloudimgError('CONTEXT_INVALID', `reading "${path}": it changed while it was read`, {
    hint: 'run the build again once nothing writes to the context',
  })
}

async function makeRecipe(
  store: Store,
  spec: LayerSpec,
  options: LayerOptions,
  files: Record<string, Digest>,
  ctx: Context,
  onProgress: (bytes: number) => void,
): Promise<BuiltLayer> {
  const segments: Segment[] = []
  const hash = createHash('sha256')
  let size = 0
  let read = 0
  const inline = (bytes: Buffer): void => {
    if (bytes.length === 0) return
    hash.update(bytes)
    size += bytes.length
    const last = segments.at(-1)
    if (last !== undefined && 'inline' in last)
      segments[segments.length - 1] = { inline: Buffer.concat([last.inline, bytes]) }
    else segments.push({ inline: bytes })
  }
  const headers = new EntryHeaders(options.epoch)
  for (const entry of spec.entries) {
    const { header, hasContent } = headers.next(entry)
    inline(header)
    if (entry.type !== 'file' || entry.content.from !== 'pool' || !hasContent) continue
    const { digest } = entry.content
    files[entry.path] = digest
    const path = blobPath(store.layout, digest)
    const found = await hashFileInto(hash, path, bytes => {
      ctx.signal.throwIfAborted()
      onProgress((read += bytes))
    })
    if (found !== entry.size) throw sizeMismatch(`"${path}"`, entry.size, found)
    if (entry.size > 0) segments.push({ blob: digest, offset: 0, length: entry.size })
    size += entry.size
    inline(tarPadding(entry.size))
  }
  inline(tarEnd)
  const digest = digestFrom(hash)
  await store.putRecipe(digest, { size, segments })
  const descriptor: Descriptor = { mediaType: mediaTypes.layer, digest, size }
  return { descriptor, diffId: digest, files }
}
