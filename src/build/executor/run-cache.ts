import { join } from 'node:path'
import * as z from 'zod'
import type { Context } from '../../core/context.ts'
import { isDigest } from '../../core/digest.ts'
import { parseJson } from '../../core/json.ts'
import { readFileIfPresent } from '../../io/files.ts'
import { mediaTypes } from '../../oci/descriptor.ts'
import { writeStoreFile } from '../../oci/store/draft.ts'
import type { Store } from '../../oci/store/store.ts'
import type { BuildTree, Content, LayerEntry } from '../tree.ts'
import type { FetchedUrl } from './fetch-desk.ts'

/** What a command did, known by all that it depends on. */
export interface RememberedRun {
  readonly entries: readonly LayerEntry[]
  /** What it was given from outside, which must still be the same. */
  readonly fetched: readonly FetchedUrl[]
}

const digest = z.string().refine(isDigest)
const attributes = {
  path: z.string(),
  mode: z.number(),
  uid: z.number(),
  gid: z.number(),
  xattrs: z.record(z.string(), z.base64()).optional(),
}
const content = z.discriminatedUnion('from', [
  z.object({ from: z.literal('pool'), digest }),
  z.object({ from: z.literal('kept'), digest, size: z.number(), offset: z.number() }),
  // As the tree had it before: the tree is a part of the key.
  z.object({ from: z.literal('before'), path: z.string() }),
])
const entry = z.discriminatedUnion('type', [
  z.object({ type: z.literal('whiteout'), path: z.string() }),
  z.object({ type: z.literal('directory'), ...attributes }),
  z.object({ type: z.literal('fifo'), ...attributes }),
  z.object({ type: z.literal('symlink'), linkTarget: z.string(), ...attributes }),
  z.object({ type: z.literal('file'), size: z.number(), links: z.string().optional(), content, ...attributes }),
  z.object({
    type: z.enum(['character-device', 'block-device']),
    deviceMajor: z.number(),
    deviceMinor: z.number(),
    ...attributes,
  }),
])
const schema = z.object({
  entries: z.array(entry),
  fetched: z.array(z.object({ url: z.string(), digest })),
})
type StoredEntry = z.infer<typeof entry>
type StoredContent = z.infer<typeof content>

function recordPath(store: Store, key: string): string {
  return join(store.layout.cache, 'runs', `${key}.json`)
}

/** Undefined where nothing is known, or some of its bytes are gone. `before` is the tree that the command begins with. */
export async function recallRun(
  store: Store,
  key: string,
  before: BuildTree,
  ctx: Context,
): Promise<RememberedRun | undefined> {
  const text = await readFileIfPresent(recordPath(store, key))
  const parsed = text === undefined ? undefined : schema.safeParse(parseJson(text))
  if (parsed?.success !== true) return undefined
  const entries: LayerEntry[] = []
  for (const stored of parsed.data.entries) {
    const entry = await entryOf(store, stored, before, ctx)
    if (entry === undefined) return undefined
    entries.push(entry)
  }
  return { entries, fetched: parsed.data.fetched }
}

async function entryOf(
  store: Store,
  stored: StoredEntry,
  before: BuildTree,
  ctx: Context,
): Promise<LayerEntry | undefined> {
  if (stored.type === 'whiteout') return stored
  const { xattrs, ...rest } = stored
  const decoded = xattrs === undefined ? {} : { xattrs: mapValues(xattrs, value => Buffer.from(value, 'base64')) }
  if (rest.type !== 'file') return { ...rest, ...decoded }
  const { content: storedContent, links, ...file } = rest
  const found = await contentOf(store, storedContent, file.size, before, ctx)
  return found && { ...file, ...decoded, content: found, ...(links === undefined ? {} : { links }) }
}

async function contentOf(
  store: Store,
  stored: StoredContent,
  size: number,
  before: BuildTree,
  ctx: Context,
): Promise<Content | undefined> {
  const mediaType = mediaTypes.layer
  switch (stored.from) {
    case 'before': {
      const file = before.get(stored.path)
      return file?.type === 'file' ? file.content : undefined
    }
    case 'pool':
      return (await store.has({ mediaType, digest: stored.digest, size }, ctx))
        ? { from: 'pool', digest: stored.digest }
        : undefined
    case 'kept': {
      const blob = { mediaType, digest: stored.digest, size: stored.size }
      if (!(await store.has(blob, ctx))) return undefined
      return { from: 'tar', tar: { blob, diffId: stored.digest }, offset: stored.offset }
    }
  }
}

export async function rememberRun(store: Store, key: string, run: RememberedRun, before: BuildTree): Promise<void> {
  const known = new Map<Content, string>()
  for (const file of before.files()) known.set(file.content, file.path)
  const entries = run.entries.map(entry => storedEntry(entry, known))
  await writeStoreFile(store.layout, recordPath(store, key), JSON.stringify({ entries, fetched: run.fetched }))
}

function storedEntry(entry: LayerEntry, known: ReadonlyMap<Content, string>): unknown {
  if (entry.type === 'whiteout') return entry
  const { xattrs, ...rest } = entry
  const encoded = xattrs === undefined ? {} : { xattrs: mapValues(xattrs, value => value.toString('base64')) }
  if (rest.type !== 'file') return { ...rest, ...encoded }
  return { ...rest, ...encoded, content: storedContent(rest.content, known) }
}

function storedContent(content: Content, known: ReadonlyMap<Content, string>): StoredContent {
  const path = known.get(content)
  if (path !== undefined) return { from: 'before', path }
  if (content.from === 'pool') return content
  if (content.from === 'tar') {
    const { digest, size } = content.tar.blob
    return { from: 'kept', digest, size, offset: content.offset }
  }
  throw new TypeError(`a command's file cannot be kept as ${content.from}`)
}

function mapValues<A, B>(record: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}
