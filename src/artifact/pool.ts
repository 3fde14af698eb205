import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, hexOf } from '../core/digest.ts'
import { statIfPresent, withFileErrors, writeFileAtomic } from '../io/files.ts'
import { openPartialFile, type PartialFile } from '../io/partial-file.ts'

/** Where downloads end up: the one blob pool of the store, seen from here. */
export interface DownloadPool {
  /** The size of a blob that is there, whole. */
  has(digest: Digest): Promise<number | undefined>
  /** The blob's file, to read from; never to be changed. */
  path(digest: Digest): string
  /** A file to download `key` into, with what an earlier try left. Nobody else has it until it is given back. */
  openPartial(key: string): Promise<PartialDownload>
}

/** A download on its way. Exactly one of `commit`, `keep` and `discard` ends it. */
export interface PartialDownload extends Omit<PartialFile, 'commit'> {
  /** Makes the file the blob of that digest, durably; the caller has hashed every byte. */
  commit(digest: Digest): Promise<void>
}

/**
 * The pool in a directory: `blobs/sha256/<hex>` and `downloads/`. On the store's home, the two share their blobs, and
 * `cache/downloads/` says which of them are downloads. Safe for several processes: a partial file belongs to whoever could
 * rename it. `keep` hears of each blob before it is relied upon, and keeps gc away from it.
 */
export function directoryPool(
  directory: string,
  keep: (digest: Digest) => Promise<void> = async () => undefined,
): DownloadPool {
  const blobs = join(directory, 'blobs/sha256')
  const downloads = join(directory, 'downloads')
  const path = (digest: Digest): string => join(blobs, hexOf(digest))
  return {
    has: async digest => {
      await keep(digest)
      return (await statIfPresent(path(digest)))?.size
    },
    path,
    openPartial: async key => {
      await withFileErrors('making', blobs, () => mkdir(blobs, { recursive: true }))
      const partial = await openPartialFile(key, downloads)
      let url = partial.origin?.url
      return {
        ...partial,
        remember: async origin => {
          url = origin?.url
          await partial.remember(origin)
        },
        commit: async digest => {
          await keep(digest)
          await recordDownload(directory, digest, url, partial)
          await partial.commit(path(digest))
        },
      }
    },
  }
}

/** What keeps the blob from gc when this process is gone; it comes first. */
async function recordDownload(
  directory: string,
  digest: Digest,
  url: string | undefined,
  partial: PartialFile,
): Promise<void> {
  const record = join(directory, 'cache/downloads', `${hexOf(digest)}.json`)
  try {
    await writeFileAtomic(record, JSON.stringify({ digest, url }), 0o644, `${partial.path}.record`)
  } catch (error) {
    await partial.discard()
    throw error
  }
}
