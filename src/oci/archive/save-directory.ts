import { constants, createWriteStream } from 'node:fs'
import { chmod, copyFile, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { MiB } from '../../core/bytes.ts'
import { type Context, withTask } from '../../core/context.ts'
import { each } from '../../core/each.ts'
import { CloudimgError } from '../../core/error.ts'
import { fileError, readdirIfPresent, statIfPresent, temporaryBeside, writeFileAtomic } from '../../io/files.ts'
import { type Piece, writeAt, writePieces } from '../../io/pieces.ts'
import type { Descriptor } from '../descriptor.ts'
import type { BlobReader, ImageSource } from '../ends.ts'
import { blobPath } from './blob-path.ts'
import { deltaFile, formatDelta } from './delta.ts'
import { type ArchiveOptions, type ArchiveRoot, ociLayout, over, planArchive, savingTitle } from './plan-archive.ts'

/**
 * Writes images as an OCI image layout directory (image-spec, image-layout.md): for skopeo, umoci and others. index.json
 * comes last: before it the directory is no layout, and an interrupted run may be begun again.
 * @throws USAGE where the directory holds something else; FILE_ERROR, DISK_FULL, what the source throws.
 */
export async function saveDirectory(
  source: ImageSource,
  roots: readonly ArchiveRoot[],
  path: string,
  options: Omit<ArchiveOptions, 'platform'>,
  ctx: Context,
): Promise<void> {
  await wantEmpty(path)
  const plan = await planArchive(source, roots, options, ctx)
  const reader = over(source, plan.documents)
  await writeFileAtomic(join(path, 'oci-layout'), ociLayout)
  await withTask(ctx, savingTitle(roots), async task => {
    const total = plan.blobs.reduce((sum, blob) => sum + blob.size, 0)
    let done = 0
    await each(plan.blobs, 2, async blob => {
      await writeBlob(reader, blob, join(path, blobPath(blob.digest)), ctx)
      task.progress((done += blob.size), total)
    })
  })
  if (plan.leftOut.length > 0) await writeFileAtomic(join(path, deltaFile), formatDelta(plan.leftOut))
  await writeFileAtomic(join(path, 'index.json'), plan.indexJson)
}

async function wantEmpty(path: string): Promise<void> {
  const found = await readdirIfPresent(path)
  if (found.every(name => name === 'oci-layout' || name === 'blobs')) return
  throw new CloudimgError('USAGE', `saving to the directory "${path}": it is not empty`, {
    hint: 'name a new directory or empty this one',
  })
}

async function writeBlob(reader: BlobReader, blob: Descriptor, path: string, ctx: Context): Promise<void> {
  const temporary = temporaryBeside(path)
  try {
    await mkdir(dirname(path), { recursive: true })
    const pieces = await reader.pieces?.(blob, ctx)
    if (pieces === undefined) {
      const out = createWriteStream(temporary, { flags: 'wx', highWaterMark: MiB })
      await pipeline(await reader.open(blob, ctx), out, { signal: ctx.signal })
    } else await copyPieces(pieces, temporary, ctx)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    ctx.signal.throwIfAborted()
    throw fileError('writing', path, error)
  }
}

// A whole file is cloned where the file system can, else copied by the kernel. Never a link: the layout is the user's to change.
async function copyPieces(pieces: readonly Piece[], path: string, ctx: Context): Promise<void> {
  const [only, ...more] = pieces
  if (only !== undefined && more.length === 0 && !Buffer.isBuffer(only) && (await isWhole(only))) {
    await copyFile(only.file, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
    await chmod(path, 0o644)
    return
  }
  const handle = await open(path, 'wx')
  try {
    if (pieces.every(piece => Buffer.isBuffer(piece))) await writeAt(handle, Buffer.concat(pieces), 0)
    else await writePieces(pieces, handle, 0, { onBytes: () => {}, signal: ctx.signal })
  } finally {
    await handle.close()
  }
}

async function isWhole({ file, offset, length }: Exclude<Piece, Buffer>): Promise<boolean> {
  return offset === 0 && (await statIfPresent(file))?.size === length
}
