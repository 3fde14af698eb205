import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, open, mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { digestOf, hexOf } from '../core/digest.ts'
import { errnoOf } from '../core/error.ts'
import {
  readdirIfPresent,
  readFileIfPresent,
  statIfPresent,
  syncDirectory,
  withFileErrors,
  writeFileAtomic,
} from './files.ts'
import { ownIdentity, processState, type ProcessState } from './process-identity.ts'

/** A download on its way. Exactly one of `commit`, `keep` and `discard` ends it. */
export interface PartialFile {
  readonly path: string
  /** Bytes that are there already. */
  readonly size: number
  /** Of which answer these bytes are a part. */
  readonly origin: PartialOrigin | undefined
  remember(origin: PartialOrigin | undefined): Promise<void>
  /** Gives the file its place, durably; the caller has hashed every byte. */
  commit(path: string): Promise<void>
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

const abandonedMs = 10 * 60_000
/** Claims of this process that have not ended. */
const held = new Set<string>()

/**
 * A file in `downloads` to bring `key` into, with what an earlier try left, also that of a killed process. Safe for several
 * processes: a partial file belongs to whoever could rename it.
 */
export async function openPartialFile(key: string, downloads: string): Promise<PartialFile> {
  await withFileErrors('making', downloads, () => mkdir(downloads, { recursive: true }))
  const name = hexOf(digestOf(key)).slice(0, 32)
  const mine = `${name}.${ownIdentity()}.${randomBytes(4).toString('hex')}.part`
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
    commit: target =>
      end(async () => {
        await sync(path)
        await rename(path, target)
        await syncDirectory(dirname(target))
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
  if (held.has(file)) return false
  if (Date.now() - mtimeMs > abandonedMs) return true
  const owner = ownerOf(file)
  return owner === undefined || owner === ownIdentity() || processState(owner) === 'gone'
}

/** Whether a process may be at work on a file of a folder of downloads, by its name and when it was last written. */
export function isUnderWay(file: string, mtimeMs: number): boolean {
  const owner = ownerOf(file)
  const state: ProcessState = owner === undefined ? 'gone' : processState(owner)
  return state === 'running' || (state === 'elsewhere' && Date.now() - mtimeMs < abandonedMs)
}

// `<key>.<process identity>.<random>.part`, and `.json` behind it for where it comes from; `<key>.part` is nobody's.
function ownerOf(file: string): string | undefined {
  return /^[0-9a-f]+\.([0-9a-f]+-[^.]+)\..*part/.exec(file)?.[1]
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
