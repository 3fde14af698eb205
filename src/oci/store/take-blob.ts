import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import type { Expected } from '../../io/hash.ts'
import { type WriteHashed, writeHashed } from '../../io/hashed-file.ts'
import { openPartialFile, type PartialFile } from '../../io/partial-file.ts'
import type { Descriptor } from '../descriptor.ts'
import type { BlobSource, Written } from '../ends.ts'
import { blobPath, type StoreLayout } from './layout.ts'
import { sealUnchanged } from './seal.ts'

/** Smaller blobs are brought in anew. */
export const resumedBytes = MiB

interface Taken {
  readonly digest: Digest
  readonly size: number
}

/** Writes and hashes a blob, and holds it against what was expected. @throws DIGEST_MISMATCH, SIZE_MISMATCH. */
export async function takeBlob(
  body: Readable,
  path: string,
  expected: Expected,
  options: Pick<WriteHashed, 'kept' | 'onProgress'>,
  ctx: Context,
): Promise<Taken> {
  const what = `blob ${expected.digest ?? ''}`.trim()
  const limit = expected.size === undefined ? {} : { maxBytes: expected.size }
  const taken = await writeHashed(body, path, { ...options, ...limit, what }, ctx.signal)
  if (expected.digest !== undefined && taken.digest !== expected.digest) {
    throw new CloudimgError('DIGEST_MISMATCH', `writing blob: wanted ${expected.digest}, found ${taken.digest}`, {
      data: { wanted: expected.digest, found: taken.digest },
    })
  }
  if (expected.size !== undefined && taken.size !== expected.size) {
    const why = `wanted ${expected.size} bytes, found ${taken.size}`
    throw new CloudimgError('SIZE_MISMATCH', `writing blob ${taken.digest}: ${why}`)
  }
  return taken
}

/**
 * Brings a blob in behind what an earlier run, killed or cut off, left of it. A part that turns out wrong is thrown away and
 * the blob is asked for from its first byte.
 */
export async function resumeBlob(
  layout: StoreLayout,
  blob: Descriptor,
  source: BlobSource,
  ctx: Context,
  onProgress?: (bytes: number) => void,
): Promise<Written> {
  const partial = await openPartialFile(`blob ${blob.digest}`, layout.downloads)
  let kept = Math.min(partial.size, blob.size)
  for (let done = false; !done;) {
    try {
      await takeBlob(await source.open({ offset: kept }), partial.path, blob, { kept, onProgress }, ctx)
      done = true
    } catch (error) {
      if (kept === 0 || !isWrong(error)) {
        await leave(partial, error)
        ctx.signal.throwIfAborted()
        throw error
      }
      kept = 0
    }
  }
  await sealUnchanged(partial.path, blob.digest, await stat(partial.path, { bigint: true }))
  await partial.commit(blobPath(layout, blob.digest))
  return kept > 0 ? 'resumed' : 'written'
}

function isWrong(error: unknown): boolean {
  return isCloudimgError(error, 'DIGEST_MISMATCH') || isCloudimgError(error, 'SIZE_MISMATCH')
}

// A full disk is not kept full.
async function leave(partial: PartialFile, error: unknown): Promise<void> {
  const useless = isWrong(error) || isCloudimgError(error, 'DISK_FULL') || isCloudimgError(error, 'FILE_ERROR')
  await (useless ? partial.discard() : partial.keep())
}
