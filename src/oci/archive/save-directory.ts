import { createWriteStream } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MiB } from '../../core/bytes.ts'
import { type Context, withTask } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { fileError, readdirIfPresent, temporaryBeside, writeFileAtomic } from '../../io/files.ts'
import type { Descriptor } from '../descriptor.ts'
import type { ImageSource } from '../ends.ts'
import { blobPath } from './blob-path.ts'
import { type ArchiveOptions, type ArchivePlan, type ArchiveRoot, ociLayout, planArchive } from './plan-archive.ts'

/**
 * Writes images as an OCI image layout directory (image-spec, image-layout.md): for skopeo, umoci and others. index.json
 * comes last. @throws USAGE where the directory holds something already; FILE_ERROR, DISK_FULL, what the source throws.
 */
export async function saveDirectory(
  source: ImageSource,
  roots: readonly ArchiveRoot[],
  path: string,
  options: Omit<ArchiveOptions, 'platform'>,
  ctx: Context,
): Promise<void> {
  if ((await readdirIfPresent(path)).length > 0)
    throw new CloudimgError('USAGE', `saving to the directory "${path}": it is not empty`, {
      hint: 'name a new directory or empty this one',
    })
  const plan = await planArchive(source, roots, options, ctx)
  await writeFileAtomic(join(path, 'oci-layout'), ociLayout)
  await withTask(ctx, path, async task => {
    const total = plan.blobs.reduce((sum, blob) => sum + blob.size, 0)
    let done = 0
    for (const blob of plan.blobs) {
      await writeBlob(source, plan, blob, join(path, blobPath(blob.digest)), ctx)
      done += blob.size
      task.progress(done, total)
    }
  })
  await writeFileAtomic(join(path, 'index.json'), plan.indexJson)
}

async function writeBlob(
  source: ImageSource,
  plan: ArchivePlan,
  blob: Descriptor,
  path: string,
  ctx: Context,
): Promise<void> {
  const document = plan.documents.get(blob.digest)
  const body = document === undefined ? await source.open(blob, ctx) : Readable.from([document])
  const temporary = temporaryBeside(path)
  try {
    await mkdir(dirname(path), { recursive: true })
    await pipeline(body, createWriteStream(temporary, { flags: 'wx', highWaterMark: MiB }), { signal: ctx.signal })
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    ctx.signal.throwIfAborted()
    throw fileError('writing', path, error)
  }
}
