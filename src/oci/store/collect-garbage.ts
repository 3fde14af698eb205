import { rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Context, withTask } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { parseReference } from '../../core/reference.ts'
import { readdirIfPresent, withFileErrors } from '../../io/files.ts'
import { isUnderWay } from '../../io/partial-file.ts'
import { clearAbandoned } from './abandoned.ts'
import { draftPath } from './draft.ts'
import { refPath, type StoreLayout } from './layout.ts'
import { Marks } from './mark.ts'
import { listRefs, removeRef, type StoredRef } from './refs.ts'
import {
  type CacheRecord,
  listBlobs,
  listCacheRecords,
  listFiles,
  listRecipes,
  listReferrerEntries,
  type ReferrerEntry,
  type StoredFile,
} from './store-roots.ts'
import { readPins, whileSweeping } from './sweep.ts'

export interface GarbageOptions {
  /** Says what would go, and touches nothing. */
  readonly dryRun?: boolean
  /** Names that go too; none unless told. */
  readonly dropName?: (ref: StoredRef) => boolean
  /** Cached layers, downloads and bases that go too; none unless told. */
  readonly dropCache?: (record: CacheRecord) => boolean
  /** What came into the store since then stays, with all that it needs. */
  readonly keepSince?: Date
}

export interface GarbageReport {
  readonly names: readonly string[]
  /** Cache records by kind. */
  readonly cache: Readonly<Record<string, number>>
  readonly blobs: readonly { readonly digest: Digest; readonly bytes: number }[]
  /** Unfinished files of ended programs, and what fsck had put aside. */
  readonly leftovers: number
  /** Of all that went. */
  readonly bytes: number
  /** What nothing but running processes needs. */
  readonly kept: { readonly bytes: number; readonly processes: readonly number[] }
}

/** A partial download that nobody went on with for so long is not gone on with. */
const partialMs = 7 * 24 * 3_600_000

/**
 * Removes every blob and recipe that no name, referrer, cache record or running process leads to. Safe beside builds, pulls,
 * loads and serves: they wait for the moment that it takes (docs/adr/0006-leases.md).
 * @throws IMAGE_INVALID where a document or recipe was changed on the disk, FILE_ERROR.
 */
export async function collectGarbage(
  layout: StoreLayout,
  options: GarbageOptions,
  ctx: Context,
): Promise<GarbageReport> {
  return await withTask(
    ctx,
    'looking for what nothing needs',
    async task => {
      // Once beforehand: the second time, while others wait, the disk need not be asked.
      await findGarbage(layout, options)
      if (options.dryRun === true) return reportOf(await findGarbage(layout, options), await leftovers(layout, options))
      const { garbage, trash } = await whileSweeping(layout, async () => {
        const found = await findGarbage(layout, options)
        return { garbage: found, trash: await putAside(layout, found) }
      })
      for (const [i, path] of trash.entries()) {
        await withFileErrors('removing', path, () => rm(path, { force: true }))
        task.progress(i + 1, trash.length)
      }
      const left = await leftovers(layout, options)
      for (const { path } of left)
        await withFileErrors('removing', path, () => rm(path, { force: true, recursive: true }))
      await clearAbandoned(layout.temporary)
      return reportOf(garbage, left)
    },
    'items',
  )
}

interface Garbage {
  readonly names: readonly StoredRef[]
  readonly cache: readonly CacheRecord[]
  readonly referrers: readonly ReferrerEntry[]
  readonly files: readonly StoredFile[]
  readonly kept: GarbageReport['kept']
}

// The order matters: pins first, then names. Whoever names something after that waits for us.
async function findGarbage(layout: StoreLayout, options: GarbageOptions): Promise<Garbage> {
  const { dropName = () => false, dropCache = () => false } = options
  const pins = await readPins(layout)
  const refs = await listRefs(layout)
  const records = await listCacheRecords(layout)
  const entries = await listReferrerEntries(layout)
  const stored = [...(await listBlobs(layout)), ...(await listRecipes(layout))]
  const marks = new Marks(layout)
  for (const ref of refs) if (!dropName(ref)) await marks.add(ref.target.digest, 'document')
  for (const record of records) if (!dropCache(record)) for (const digest of record.digests) await marks.add(digest)
  for (const file of stored) {
    if (options.keepSince !== undefined && file.modified >= options.keepSince) await marks.add(file.digest)
  }
  await addReferrers(marks, entries)
  const unneeded = stored.filter(({ digest }) => !marks.has(digest))
  const digests = new Set(unneeded.map(file => file.digest))
  const holders = new Set([...pins].flatMap(([digest, pid]) => (digests.has(digest) ? [pid] : [])))
  for (const digest of pins.keys()) await marks.add(digest)
  await addReferrers(marks, entries)
  const files = unneeded.filter(({ digest }) => !marks.has(digest))
  return {
    names: refs.filter(dropName),
    cache: records.filter(dropCache),
    referrers: entries.filter(({ subject, referrer }) => !marks.has(subject) && !marks.has(referrer)),
    files,
    kept: { bytes: sum(unneeded) - sum(files), processes: [...holders] },
  }
}

/** A signature lives as long as what it signs; what it is about need not be here. */
async function addReferrers(marks: Marks, entries: readonly ReferrerEntry[]): Promise<void> {
  for (let before = -1; before !== marks.all.size;) {
    before = marks.all.size
    for (const { subject, referrer } of entries) if (marks.has(subject)) await marks.add(referrer)
  }
}

/** Names first: at no moment does one lead to what is gone. Large files take long to remove; moving them does not. */
async function putAside(layout: StoreLayout, garbage: Garbage): Promise<readonly string[]> {
  for (const ref of garbage.names) await removeRef(refPath(layout, parseReference(ref.name)))
  for (const { path } of [...garbage.cache, ...garbage.referrers])
    await withFileErrors('removing', path, () => rm(path, { force: true }))
  const trash: string[] = []
  for (const { path } of garbage.files) {
    const aside = draftPath(layout)
    await withFileErrors('removing', path, async () => {
      await rename(path, aside).catch(async (error: unknown) => {
        // Another gc was quicker.
        if ((await stat(path).catch(() => undefined)) !== undefined) throw error
      })
    })
    trash.push(aside)
  }
  return trash
}

async function leftovers(
  layout: StoreLayout,
  { dropCache }: GarbageOptions,
): Promise<readonly { readonly path: string; readonly bytes: number }[]> {
  const found: { readonly path: string; readonly bytes: number }[] = []
  for (const path of await listFiles(layout.quarantine)) {
    const stats = await stat(path).catch(() => undefined)
    if (stats !== undefined) found.push({ path, bytes: stats.size })
  }
  for (const name of await readdirIfPresent(layout.downloads)) {
    const path = join(layout.downloads, name)
    const stats = await stat(path).catch(() => undefined)
    if (stats === undefined || isUnderWay(name, stats.mtimeMs)) continue
    const record = { path, kind: 'partial', bytes: stats.size, modified: stats.mtime, digests: [] }
    if (Date.now() - stats.mtimeMs > partialMs || dropCache?.(record) === true) found.push({ path, bytes: stats.size })
  }
  return found
}

function sum(files: readonly { readonly bytes: number }[]): number {
  return files.reduce((total, { bytes }) => total + bytes, 0)
}

function reportOf(garbage: Garbage, left: readonly { readonly bytes: number }[]): GarbageReport {
  const cache: Record<string, number> = {}
  for (const { kind } of garbage.cache) cache[kind] = (cache[kind] ?? 0) + 1
  return {
    names: garbage.names.map(({ name }) => name),
    cache,
    blobs: garbage.files.map(({ digest, bytes }) => ({ digest, bytes })),
    leftovers: left.length,
    bytes: sum(garbage.files) + sum(garbage.cache) + sum(left),
    kept: garbage.kept,
  }
}
