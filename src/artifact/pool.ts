import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, open, mkdir, rename, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { type Digest, digestOf, hexOf } from '../core/digest.ts'
import { errnoOf } from '../core/error.ts'
import {
  readdirIfPresent,
  readFileIfPresent,
  statIfPresent,
  syncDirectory,
  withFileErrors,
  writeFileAtomic,
} from '../io/files.ts'
import { isAlive } from '../io/process-alive.ts'

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
export interface PartialDownload {
  readonly path: string
  /** Bytes that are there already. */
  readonly size: number
  /** Of which answer these bytes are a part. */
  readonly origin: PartialOrigin | undefined
  remember(origin: PartialOrigin | undefined): Promise<void>
  /** Makes the file the blob of that digest, durably; the caller has hashed every byte. */
  commit(digest: Digest): Promise<void>
  /** Leaves the bytes to a later try. */
  keep(): Promise<void>
  discard(): Promise<void>
}

export interface PartialOrigin {
  /** Without secrets: it is written to disk. */
  readonly url: string
  /** A strong ETag or a date, for If-Range (RFC 9110 §13.1.5). */
  readonly validator?: string
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
  const path = (digest: Digest): string => join(blobs, hexOf(digest))
  return {
    has: async digest => {
      await keep(digest)
      return (await statIfPresent(path(digest)))?.size
    },
    path,
    openPartial: key => openPartial(key, { directory, blobs, downloads: join(directory, 'downloads'), keep }),
  }
}

interface Places {
  readonly directory: string
  readonly blobs: string
  readonly downloads: string
  readonly keep: (digest: Digest) => Promise<void>
}

const abandonedMs = 10 * 60_000
/** Claims of this very process, to tell them from those of a dead one that had the same number. */
const held = new Set<string>()

async function openPartial(key: string, { directory, blobs, downloads, keep }: Places): Promise<PartialDownload> {
  await withFileErrors('making', downloads, () => mkdir(downloads, { recursive: true }))
  await withFileErrors('making', blobs, () => mkdir(blobs, { recursive: true }))
  const name = hexOf(digestOf(key)).slice(0, 32)
  const mine = `${name}.${machine()}-${process.pid}-${randomBytes(4).toString('hex')}.part`
  const path = join(downloads, mine)
  await withFileErrors('making', path, async () => {
    await claim(downloads, name, path)
    await (await open(path, constants.O_RDWR | constants.O_CREAT, 0o644)).close()
  })
  held.add(mine)
  const left = await stat(path)
  const origin = await readOrigin(path)
  const end = async (work: () => Promise<void>): Promise<void> => {
    try {
      await withFileErrors('keeping', path, work)
    } finally {
      held.delete(mine)
    }
  }
  const forget = (): Promise<void> => rm(originPath(path), { force: true })
  return {
    path,
    size: left.size,
    origin,
    remember: async value => {
      if (value === undefined) await forget()
      else await writeFileAtomic(originPath(path), JSON.stringify(value))
    },
    commit: digest =>
      end(async () => {
        await keep(digest)
        await sync(path)
        // First what keeps it from gc when this process is gone, then the blob itself.
        const { url } = (await readOrigin(path)) ?? {}
        const record = join(directory, 'cache/downloads', `${hexOf(digest)}.json`)
        await writeFileAtomic(record, JSON.stringify({ digest, url }), 0o644, `${path}.record`)
        await rename(path, join(blobs, hexOf(digest)))
        await syncDirectory(blobs)
        await forget()
      }),
    keep: () => end(() => giveBack(path, join(downloads, `${name}.part`))),
    discard: () => end(() => Promise.all([rm(path, { force: true }), forget()]).then(() => undefined)),
  }
}

async function sync(path: string): Promise<void> {
  await chmod(path, 0o644)
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

// The largest part that nobody works on. rename() has one winner: who loses begins with an empty file.
async function claim(downloads: string, name: string, path: string): Promise<void> {
  const parts: { readonly file: string; readonly size: number }[] = []
  for (const file of await readdirIfPresent(downloads)) {
    if (!file.startsWith(`${name}.`) || !file.endsWith('.part')) continue
    const stats = await statIfPresent(join(downloads, file))
    if (stats !== undefined && isAbandoned(file, stats.mtimeMs)) parts.push({ file, size: stats.size })
  }
  for (const { file } of parts.sort((a, b) => b.size - a.size)) {
    if (await moved(join(downloads, file), path)) {
      await moved(originPath(join(downloads, file)), originPath(path))
      return
    }
  }
}

function isAbandoned(file: string, mtimeMs: number): boolean {
  const [, where, pid] = /\.([0-9a-f]+)-(\d+)-[0-9a-f]+\.part$/.exec(file) ?? []
  if (where === undefined || held.has(file)) return !held.has(file)
  if (Date.now() - mtimeMs > abandonedMs) return true
  return where === machine() && (Number(pid) === process.pid || !isAlive(Number(pid)))
}

async function giveBack(path: string, free: string): Promise<void> {
  if ((await stat(path)).size === 0) {
    await rm(path)
    await rm(originPath(path), { force: true })
    return
  }
  await moved(originPath(path), originPath(free))
  await rename(path, free)
}

async function moved(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

function originPath(path: string): string {
  return `${path}.json`
}

async function readOrigin(path: string): Promise<PartialOrigin | undefined> {
  const text = await readFileIfPresent(originPath(path), 64 * 1024)
  try {
    return text === undefined ? undefined : (JSON.parse(text.toString('utf8')) as PartialOrigin)
  } catch {
    return undefined
  }
}

function machine(): string {
  return hexOf(digestOf(hostname())).slice(0, 8)
}
