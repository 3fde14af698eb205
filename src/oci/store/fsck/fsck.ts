import { lstat } from 'node:fs/promises'
import * as z from 'zod'
import { type Context, withTask } from '../../../core/context.ts'
import { type Digest, isDigest } from '../../../core/digest.ts'
import { isCloudimgError, reasonOf } from '../../../core/error.ts'
import { parseJson } from '../../../core/json.ts'
import { parseReference } from '../../../core/reference.ts'
import { lstatIfPresent, readFileIfPresent } from '../../../io/files.ts'
import { limits } from '../../../io/limits.ts'
import { readRelation } from '../../relation.ts'
import { refPath, type StoreLayout } from '../layout.ts'
import { readRef, type StoredRef } from '../refs.ts'
import { listBlobs, listFiles, listRecipes, listReferrerEntries, type StoredFile } from '../store-roots.ts'
import type { Store } from '../store.ts'
import { ContentCheck } from './content-check.ts'
import type { Fault } from './fault.ts'
import { ImageCheck } from './image-check.ts'

export interface FsckReport {
  readonly faults: readonly Fault[]
  readonly checked: {
    readonly blobs: number
    readonly recipes: number
    readonly names: number
    readonly bytes: number
  }
  /** Unfinished files of programs that run or were killed: no fault, and gc removes the latter. */
  readonly unfinished: { readonly files: number; readonly bytes: number }
}

/**
 * Reads the whole store and recomputes every digest in it: blobs, recipes, diff_ids, and whether names, referrers and cache
 * records lead to what is there. Writes nothing. What other processes add or remove meanwhile is no fault.
 */
export async function checkStore(store: Store, ctx: Context): Promise<FsckReport> {
  const { layout } = store
  return await withTask(ctx, 'checking the store', async task => {
    const [blobs, recipes] = [await listBlobs(layout), await listRecipes(layout)]
    const total = [...blobs, ...recipes].reduce((sum, { bytes }) => sum + bytes, 0)
    let read = 0
    const content = new ContentCheck(layout, ctx, bytes => task.progress((read += bytes), Math.max(total, read)))
    const images = new ImageCheck(store, content, ctx)
    const broken = [
      ...(await brokenFiles(blobs, 'blob', digest => content.blob(digest))),
      ...(await brokenFiles(recipes, 'recipe', digest => content.recipe(digest))),
    ]
    const names = (await listFiles(layout.refs)).filter(path => path.includes('/_tags/'))
    const faults = [
      ...broken,
      ...(await each(names, path => checkName(layout, path, images))),
      ...(await checkReferrers(layout, content)),
      ...(await checkCache(layout, images, content)),
      ...(await strays(layout)),
    ]
    return {
      faults: merge(faults),
      checked: { blobs: blobs.length, recipes: recipes.length, names: names.length, bytes: read },
      unfinished: await unfinishedFiles(layout),
    }
  })
}

async function each<T>(items: readonly T[], check: (item: T) => Promise<readonly Fault[]>): Promise<readonly Fault[]> {
  const faults: Fault[] = []
  for (const item of items) faults.push(...(await check(item)))
  return faults
}

async function brokenFiles(
  files: readonly StoredFile[],
  what: string,
  check: (digest: Digest) => ReturnType<ContentCheck['blob']>,
): Promise<readonly Fault[]> {
  return await each(files, async ({ path, digest }) => {
    const found = await check(digest)
    if (found?.state !== 'broken') return []
    return [{ kind: 'broken', path, digest, message: `${what} ${digest}: ${found.why}`, names: [] }]
  })
}

/** A name may move while its image is read: then the new one is looked at. */
async function checkName(layout: StoreLayout, path: string, images: ImageCheck): Promise<readonly Fault[]> {
  for (let tries = 0; ; tries++) {
    const ref = await readName(layout, path)
    if (ref === undefined) return []
    if ('message' in ref) return [ref]
    const faults = await images.document(ref.target)
    if (faults.length === 0) return []
    const now = await readName(layout, path)
    const same = now !== undefined && !('message' in now) && now.target.digest === ref.target.digest
    if (!same && tries < 5) {
      images.forget()
      continue
    }
    const root = faults.find(({ kind, digest }) => kind === 'missing' && digest === ref.target.digest)
    if (root !== undefined)
      return [{ kind: 'dangling', path, message: `name "${ref.name}": ${root.message}`, names: [ref.name] }]
    return faults.map(fault => ({ ...fault, names: [ref.name] }))
  }
}

async function readName(layout: StoreLayout, path: string): Promise<StoredRef | Fault | undefined> {
  const dangling = (why: string): Fault => ({ kind: 'dangling', path, message: `name in "${path}": ${why}`, names: [] })
  try {
    if ((await lstatIfPresent(path))?.isFile() === false) return dangling('it is no file')
    const ref = await readRef(path)
    if (ref === undefined) return undefined
    return refPath(layout, parseReference(ref.name)) === path
      ? ref
      : dangling(`it is the place of another name than "${ref.name}"`)
  } catch (error) {
    if (!isCloudimgError(error, 'IMAGE_INVALID') && !isCloudimgError(error, 'USAGE')) throw error
    return dangling(reasonOf(error))
  }
}

async function checkReferrers(layout: StoreLayout, content: ContentCheck): Promise<readonly Fault[]> {
  return await each(await listReferrerEntries(layout), async ({ path, subject, referrer }) => {
    const wrong = (why: string): Fault[] => [
      { kind: 'dangling', path, digest: referrer, message: `referrer ${referrer} of ${subject}: ${why}`, names: [] },
    ]
    const entry = parseJson((await readFileIfPresent(path, limits.manifestBytes)) ?? '') as {
      mediaType?: unknown
      digest?: unknown
    }
    if ((await lstatIfPresent(path)) === undefined) return []
    if (typeof entry?.mediaType !== 'string' || entry.digest !== referrer) return wrong('the entry cannot be read')
    const found = await content.content(referrer)
    if (found?.state !== 'sound') return wrong(found === undefined ? 'missing' : 'broken')
    const relation = await relationOf(layout, entry.mediaType, referrer, found.size)
    return relation === subject ? [] : wrong('the document does not say so')
  })
}

async function relationOf(
  layout: StoreLayout,
  mediaType: string,
  digest: Digest,
  size: number,
): Promise<Digest | undefined> {
  const bytes = await readFileIfPresent(`${layout.blobs}/${digest.slice('sha256:'.length)}`, limits.manifestBytes)
  try {
    return bytes === undefined ? undefined : readRelation({ mediaType, digest, size }, bytes)?.subject
  } catch {
    return undefined
  }
}

const layerRecord = z.object({
  descriptor: z.object({ mediaType: z.string(), digest: z.string().refine(isDigest), size: z.number() }),
  diffId: z.string().refine(isDigest),
})

/** A record whose layer is gone is no fault: the layer is made again. One that lies about a layer that is here is. */
async function checkCache(layout: StoreLayout, images: ImageCheck, content: ContentCheck): Promise<readonly Fault[]> {
  return await each(await listFiles(layout.cache), async path => {
    const text = await readFileIfPresent(path, limits.manifestBytes)
    if (text === undefined) return []
    const wrong = (why: string): Fault[] => [
      { kind: 'dangling', path, message: `cache record "${path}": ${why}`, names: [] },
    ]
    const json = parseJson(text)
    if (json === undefined) return wrong('it cannot be read')
    if (!path.startsWith(`${layout.cache}/layers/`)) return []
    const record = layerRecord.safeParse(json)
    if (!record.success) return wrong('it is no record of a layer')
    const { descriptor, diffId } = record.data
    const found = await content.content(descriptor.digest)
    if (found?.state !== 'sound') return []
    if (found.size !== descriptor.size) return wrong(`wanted ${descriptor.size} bytes, found ${found.size}`)
    return (await images.diffId(descriptor, diffId)).flatMap(({ message }) => wrong(message))
  })
}

async function strays(layout: StoreLayout): Promise<readonly Fault[]> {
  const places: readonly (readonly [directory: string, belongs: RegExp])[] = [
    [layout.blobs, /^[0-9a-f]{64}$/],
    [layout.recipes, /^[0-9a-f]{64}\.json$/],
    [layout.refs, /^(?:_referrers\/[0-9a-f]{64}\/[0-9a-f]{64}\.json|.+\/_tags\/[^/]+\.json)$/],
  ]
  const faults: Fault[] = []
  for (const [directory, belongs] of places) {
    for (const path of await listFiles(directory)) {
      if (belongs.test(path.slice(directory.length + 1))) continue
      if ((await lstatIfPresent(path)) === undefined) continue
      faults.push({ kind: 'stray', path, message: `"${path}": nothing of that name belongs there`, names: [] })
    }
  }
  return faults
}

/** The same fault of several images, once with all their names. */
function merge(faults: readonly Fault[]): readonly Fault[] {
  const merged = new Map<string, Fault>()
  for (const fault of faults) {
    const key = `${fault.kind} ${fault.path ?? ''} ${fault.message}`
    const names = [...new Set([...(merged.get(key)?.names ?? []), ...fault.names])]
    merged.set(key, { ...fault, names })
  }
  return [...merged.values()]
}

async function unfinishedFiles(layout: StoreLayout): Promise<FsckReport['unfinished']> {
  const paths = [...(await listFiles(layout.temporary)), ...(await listFiles(layout.downloads))]
  let bytes = 0
  for (const path of paths) bytes += (await lstat(path).catch(() => undefined))?.size ?? 0
  return { files: paths.length, bytes }
}
