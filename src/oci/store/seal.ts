import { createHash } from 'node:crypto'
import { type FileHandle, open, stat } from 'node:fs/promises'
import type { BigIntStats } from 'node:fs'
import type { Digest } from '../../core/digest.ts'
import { errnoOf } from '../../core/error.ts'
import { digestMismatch, hashFileInto } from '../../io/hash.ts'

/**
 * A sealed file is one that the store wrote, or read whole, and found to have its digest, and that nobody wrote to since:
 * the microseconds of its mtime are made from digest, inode, size and seconds (docs/adr/0007-sealed-blobs.md). Who writes
 * to it breaks the seal, and a copy of the store has other inodes. A sealed file may be copied without hashing it again;
 * what lies below the file system `fsck` finds, and whoever reads the copy.
 */
export function isSealed({ ino, size, mtimeNs }: BigIntStats, digest: Digest): boolean {
  const seconds = mtimeNs / 1_000_000_000n
  return (mtimeNs % 1_000_000_000n) / 1000n === BigInt(microseconds(digest, ino, size, seconds))
}

function microseconds(digest: Digest, ino: bigint, size: bigint, seconds: bigint): number {
  return createHash('sha256').update(`${digest} ${ino} ${size} ${seconds}`).digest().readUInt32BE(0) % 1_000_000
}

/** Seals a file whose every byte was hashed. The caller syncs it. */
export async function sealFile(handle: FileHandle, digest: Digest): Promise<void> {
  const { ino, size, mtimeNs, atimeMs } = await handle.stat({ bigint: true })
  const seconds = mtimeNs / 1_000_000_000n
  // Half a microsecond more, so that the rounding of a floating-point number never reaches the one before.
  const mtime = Number(seconds) + (microseconds(digest, ino, size, seconds) + 0.5) / 1e6
  await handle.utimes(Number(atimeMs) / 1000, mtime)
}

/**
 * Reads a file that is not sealed, and seals it. One that was written to meanwhile, or belongs to somebody else, or lies on a
 * read-only disk stays unsealed. @throws DIGEST_MISMATCH, FILE_ERROR.
 */
export async function verifyAndSeal(path: string, digest: Digest, signal: AbortSignal): Promise<void> {
  const before = await stat(path, { bigint: true })
  const hash = createHash('sha256')
  await hashFileInto(hash, path, () => signal.throwIfAborted())
  const found: Digest = `sha256:${hash.digest('hex')}`
  if (found !== digest) throw digestMismatch(`blob ${digest}`, digest, found)
  await sealUnchanged(path, digest, before)
}

/** Seals what is still as it was at `before`. */
export async function sealUnchanged(path: string, digest: Digest, before: BigIntStats): Promise<void> {
  try {
    const handle = await open(path, 'r')
    try {
      const { ino, mtimeNs, ctimeNs } = await handle.stat({ bigint: true })
      if (ino === before.ino && mtimeNs === before.mtimeNs && ctimeNs === before.ctimeNs) await sealFile(handle, digest)
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (!['EROFS', 'EACCES', 'EPERM', 'ENOENT'].includes(errnoOf(error) ?? '')) throw error
  }
}
