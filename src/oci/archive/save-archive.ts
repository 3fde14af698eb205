import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Context, withTask } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { fileError } from '../../io/files.ts'
import { readPieces } from '../../io/pieces.ts'
import { streamOf } from '../../io/read-file.ts'
import { tarEnd, tarPadding } from '../../io/tar.ts'
import type { Descriptor } from '../descriptor.ts'
import type { BlobReader, ImageSource } from '../ends.ts'
import { type ArchiveEntries, type ArchiveForm, header, listEntries, sizeOf } from './archive-entry.ts'
import { ofSize, plainSize, unpackPlainLayer } from './plain-layer.ts'
import { type ArchiveOptions, type ArchiveRoot, over, planArchive, savingTitle } from './plan-archive.ts'

export interface SaveOptions extends ArchiveOptions {
  /** `hybrid` unless told: an OCI layout with docker's manifest.json beside it, for podman, containerd and docker alike. */
  readonly form?: ArchiveForm
}

/** An archive of which everything is known but the bytes of blobs. */
export interface PreparedArchive {
  readonly reader: BlobReader
  readonly entries: ArchiveEntries
}

/** @throws IMAGE_NOT_FOUND, PLATFORM_MISSING, IMAGE_INVALID, UNSUPPORTED; USAGE for a delta in docker's form. */
export async function prepareArchive(
  source: ImageSource,
  roots: readonly ArchiveRoot[],
  { form = 'hybrid', ...options }: SaveOptions,
  ctx: Context,
): Promise<PreparedArchive> {
  if (form === 'docker-archive' && options.have !== undefined)
    throw new CloudimgError('USAGE', 'saving a delta as docker-archive: that form cannot leave out blobs', {
      hint: 'leave out --have, or save it with --format oci-archive',
    })
  const plan = await planArchive(source, roots, options, ctx)
  const reader = over(source, plan.documents)
  return { reader, entries: await listEntries(reader, plan, form, options, ctx) }
}

/**
 * Writes images as one tar. What loaders of a stream need first stands first; then the blobs in byte order. The same images
 * give the same bytes. Nothing is kept on disk between; `out` is ended. @throws what `prepareArchive` and the source throw,
 * FILE_ERROR, DISK_FULL.
 */
export async function saveArchive(
  source: ImageSource,
  roots: readonly ArchiveRoot[],
  out: Writable,
  options: SaveOptions,
  ctx: Context,
): Promise<void> {
  const archive = await prepareArchive(source, roots, options, ctx)
  await withTask(ctx, savingTitle(roots), async task => {
    let done = 0
    const counted = async function* (): AsyncGenerator<Buffer> {
      for await (const chunk of archiveChunks(archive, ctx)) {
        yield chunk
        task.progress((done += chunk.length))
      }
    }
    try {
      await pipeline(streamOf(counted()), out, { signal: ctx.signal })
    } catch (error) {
      ctx.signal.throwIfAborted()
      throw fileError('writing', 'path' in out && typeof out.path === 'string' ? out.path : 'the archive', error)
    }
  })
}

/** The archive's bytes in order. A layer that does not say what it unpacks to is unpacked twice: a tar says sizes first. */
export async function* archiveChunks({ reader, entries }: PreparedArchive, ctx: Context): AsyncGenerator<Buffer> {
  for (const { header: head, content } of entries.known) {
    yield head
    if (Buffer.isBuffer(content)) yield content
    else yield* blobChunks(reader, content, ctx)
    yield tarPadding(sizeOf(content))
  }
  for (const plain of entries.plain) {
    const size = await plainSize(reader, plain, ctx)
    yield header('file', plain.path, size)
    yield* ofSize(unpackPlainLayer(reader, plain, ctx), size, `layer ${plain.layer.digest}`)
    yield tarPadding(size)
  }
  yield tarEnd
}

async function* blobChunks(reader: BlobReader, blob: Descriptor, ctx: Context): AsyncGenerator<Buffer> {
  const pieces = await reader.pieces?.(blob, ctx)
  if (pieces !== undefined) yield* readPieces(pieces)
  else yield* (await reader.open(blob, ctx)) as AsyncIterable<Buffer>
}
