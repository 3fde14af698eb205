import { readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as z from 'zod'
import { isDigest } from '../../core/digest.ts'
import { parseJson } from '../../core/json.ts'
import { CloudimgError } from '../../core/error.ts'
import { compareBytes, readFileIfPresent, statIfPresent, syncDirectory, withFileErrors } from '../../io/files.ts'
import type { Descriptor } from '../descriptor.ts'
import { writeStoreFile } from './draft.ts'
import type { StoreLayout } from './layout.ts'

/** A name in the store and what it stands for. */
export interface StoredRef {
  /** In full: `registry/repository:tag`. */
  readonly name: string
  readonly target: Descriptor
  /** When the name was last set. */
  readonly updated: Date
}

const schema = z.object({
  name: z.string(),
  target: z.object({
    mediaType: z.string(),
    digest: z.string().refine(isDigest),
    size: z.number().int().nonnegative(),
  }),
})

export async function readRef(path: string): Promise<StoredRef | undefined> {
  const [text, stats] = [await readFileIfPresent(path), await statIfPresent(path)]
  if (text === undefined || stats === undefined) return undefined
  const parsed = schema.safeParse(parseJson(text.toString('utf8')))
  if (!parsed.success) throw new CloudimgError('IMAGE_INVALID', `reading the name in "${path}": not a reference file`)
  return { name: parsed.data.name, target: parsed.data.target, updated: stats.mtime }
}

export async function writeRef(layout: StoreLayout, path: string, name: string, target: Descriptor): Promise<void> {
  const { mediaType, digest, size } = target
  await writeStoreFile(layout, path, JSON.stringify({ name, target: { mediaType, digest, size } }))
}

/** False where there was no such name. */
export async function removeRef(path: string): Promise<boolean> {
  if ((await statIfPresent(path)) === undefined) return false
  // For good, before gc takes the bytes away: a crash must not bring back a name that leads nowhere.
  await withFileErrors('removing', path, async () => {
    await rm(path, { force: true })
    await syncDirectory(dirname(path))
  })
  return true
}

/** All names, in byte order. */
export async function listRefs(layout: StoreLayout): Promise<readonly StoredRef[]> {
  return withFileErrors('listing', layout.refs, async () => {
    const entries = await readdir(layout.refs, { recursive: true, withFileTypes: true })
    const files = entries.filter(
      entry => entry.isFile() && entry.parentPath.endsWith('/_tags') && !entry.name.startsWith('.'),
    )
    const refs = await Promise.all(files.map(entry => readRef(join(entry.parentPath, entry.name))))
    return refs.filter(ref => ref !== undefined).sort((a, b) => compareBytes(a.name, b.name))
  })
}
