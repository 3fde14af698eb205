import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, isDigest } from '../../core/digest.ts'
import { compareBytes, readFileIfPresent, statIfPresent, withFileErrors } from '../../io/files.ts'
import type { StoreLayout } from './layout.ts'

/** A small file below `cache/`: what was fetched or made before and would cost time to have again. */
export interface CacheRecord {
  readonly path: string
  /** `layers`, `downloads`, `bases` …: the folder below `cache/`. */
  readonly kind: string
  readonly bytes: number
  readonly modified: Date
  /** All that it names, whatever its form: caches come and go, and gc need not know each. */
  readonly digests: readonly Digest[]
}

export async function listCacheRecords(layout: StoreLayout): Promise<readonly CacheRecord[]> {
  const records: CacheRecord[] = []
  for (const path of await listFiles(layout.cache)) {
    const text = await readFileIfPresent(path)
    const stats = await stat(path).catch(() => undefined)
    if (text === undefined || stats === undefined) continue
    const named: readonly string[] = text.toString('latin1').match(/sha256:[0-9a-f]{64}/g) ?? []
    const digests = named.filter(isDigest)
    const kind = path.slice(layout.cache.length + 1).split('/')[0]!
    records.push({ path, kind, bytes: stats.size, modified: stats.mtime, digests: [...new Set(digests)] })
  }
  return records
}

/** A file below `refs/_referrers`: that one document is about another. */
export interface ReferrerEntry {
  readonly path: string
  readonly subject: Digest
  readonly referrer: Digest
}

export async function listReferrerEntries(layout: StoreLayout): Promise<readonly ReferrerEntry[]> {
  return (await listFiles(join(layout.refs, '_referrers'))).flatMap(path => {
    const [, subject, referrer] = /\/([0-9a-f]{64})\/([0-9a-f]{64})\.json$/.exec(path) ?? []
    return subject === undefined
      ? []
      : [{ path, subject: `sha256:${subject}`, referrer: `sha256:${referrer}` } as const]
  })
}

/** A file of the pool, or a recipe. */
export interface StoredFile {
  readonly path: string
  readonly digest: Digest
  readonly bytes: number
  readonly modified: Date
}

export async function listBlobs(layout: StoreLayout): Promise<readonly StoredFile[]> {
  return await listNamed(layout.blobs, /^([0-9a-f]{64})$/)
}

export async function listRecipes(layout: StoreLayout): Promise<readonly StoredFile[]> {
  return await listNamed(layout.recipes, /^([0-9a-f]{64})\.json$/)
}

async function listNamed(directory: string, pattern: RegExp): Promise<readonly StoredFile[]> {
  const found: StoredFile[] = []
  for (const path of await listFiles(directory)) {
    const hex = pattern.exec(path.slice(directory.length + 1))?.[1]
    const stats = hex === undefined ? undefined : await stat(path).catch(() => undefined)
    if (stats === undefined) continue
    found.push({ path, digest: `sha256:${hex}`, bytes: stats.size, modified: stats.mtime })
  }
  return found
}

/** Every file below a folder, in byte order; none where there is no such folder. */
export async function listFiles(directory: string): Promise<readonly string[]> {
  return await withFileErrors('listing', directory, async () => {
    if ((await statIfPresent(directory)) === undefined) return []
    const entries = await readdir(directory, { recursive: true, withFileTypes: true })
    return entries
      .filter(entry => !entry.isDirectory())
      .map(entry => join(entry.parentPath, entry.name))
      .sort(compareBytes)
  })
}
