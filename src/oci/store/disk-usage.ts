import { stat } from 'node:fs/promises'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import type { StoreLayout } from './layout.ts'
import { Marks } from './mark.ts'
import { listRefs, type StoredRef } from './refs.ts'
import {
  listBlobs,
  listCacheRecords,
  listFiles,
  listRecipes,
  listReferrerEntries,
  type StoredFile,
} from './store-roots.ts'

export interface ImageUsage {
  readonly name: string
  readonly digest: Digest
  /** Bytes on this disk of all that the image needs; `unique` of them would be free without it, the rest is shared. */
  readonly bytes: number
  readonly unique: number
  readonly updated: Date
}

/** Each byte of the store counts once: for the first of these that needs it. */
export interface DiskUsage {
  readonly images: readonly ImageUsage[]
  readonly groups: {
    readonly images: UsageGroup
    /** Layers, bases and whatever else is kept to be quicker next time. */
    readonly cache: UsageGroup
    readonly downloads: UsageGroup
    /** What nothing leads to: `gc` removes it. */
    readonly unneeded: UsageGroup
    /** Unfinished downloads and drafts, what fsck put aside. */
    readonly unfinished: UsageGroup
  }
  readonly bytes: number
}

export interface UsageGroup {
  /** Names, records or files. */
  readonly count: number
  readonly bytes: number
}

/** @throws IMAGE_INVALID where a document or recipe was changed on the disk. */
export async function measureUsage(layout: StoreLayout, ctx: Context): Promise<DiskUsage> {
  const refs = await listRefs(layout)
  const records = await listCacheRecords(layout)
  const entries = await listReferrerEntries(layout)
  const files = [...(await listBlobs(layout)), ...(await listRecipes(layout))]
  ctx.signal.throwIfAborted()
  const sets: ReadonlySet<Digest>[] = []
  for (const ref of refs) sets.push(await reach(layout, [ref.target.digest], entries))
  const counts = countEach(sets)
  const images = refs.map((ref, i) => usageOf(ref, sets[i]!, counts, files))
  const cached = records.filter(({ kind }) => kind !== 'downloads')
  const downloads = records.filter(({ kind }) => kind === 'downloads')
  const left = new Set(files)
  const take = (digests: ReadonlySet<Digest>): number => {
    const taken = [...left].filter(file => digests.has(file.digest))
    taken.forEach(file => left.delete(file))
    return sum(taken)
  }
  const unfinished = await looseFiles(layout)
  const groups = {
    images: { count: refs.length, bytes: take(new Set(counts.keys())) },
    downloads: { count: downloads.length, bytes: take(await reach(layout, digestsOf(downloads), [])) },
    cache: { count: cached.length, bytes: take(await reach(layout, digestsOf(cached), [])) + sum(cached) },
    unneeded: { count: left.size, bytes: sum([...left]) },
    unfinished,
  }
  return { images, groups, bytes: sum(Object.values(groups)) }
}

async function reach(
  layout: StoreLayout,
  digests: readonly Digest[],
  entries: readonly { readonly subject: Digest; readonly referrer: Digest }[],
): Promise<ReadonlySet<Digest>> {
  const marks = new Marks(layout)
  for (const digest of digests) await marks.add(digest)
  for (const { subject, referrer } of entries) if (marks.has(subject)) await marks.add(referrer)
  return marks.all
}

function countEach(sets: readonly ReadonlySet<Digest>[]): ReadonlyMap<Digest, number> {
  const counts = new Map<Digest, number>()
  for (const digest of sets.flatMap(set => [...set])) counts.set(digest, (counts.get(digest) ?? 0) + 1)
  return counts
}

function usageOf(
  { name, target, updated }: StoredRef,
  needed: ReadonlySet<Digest>,
  counts: ReadonlyMap<Digest, number>,
  files: readonly StoredFile[],
): ImageUsage {
  const own = files.filter(file => needed.has(file.digest))
  const unique = own.filter(file => counts.get(file.digest) === 1)
  return { name, digest: target.digest, bytes: sum(own), unique: sum(unique), updated }
}

async function looseFiles(layout: StoreLayout): Promise<UsageGroup> {
  const paths = (await Promise.all([layout.temporary, layout.downloads, layout.quarantine].map(listFiles))).flat()
  const stats = await Promise.all(paths.map(path => stat(path).catch(() => undefined)))
  const sizes = stats.flatMap(found => (found === undefined ? [] : [{ bytes: found.size }]))
  return { count: sizes.length, bytes: sum(sizes) }
}

function digestsOf(records: readonly { readonly digests: readonly Digest[] }[]): readonly Digest[] {
  return records.flatMap(({ digests }) => digests)
}

function sum(parts: readonly { readonly bytes: number }[]): number {
  return parts.reduce((total, { bytes }) => total + bytes, 0)
}
