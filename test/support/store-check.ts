import { createHash } from 'node:crypto'
import { createReadStream, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { compareBytes } from '../../src/io/files.ts'

/** Every file below a store with inode, size and times: equal before and after means that nothing was written. */
export function storeSnapshot(store: string): readonly string[] {
  return files(store).map(path => {
    const { ino, size, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true })
    return `${path.slice(store.length + 1)} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
  })
}

/** Partial files that a killed program left; they must never be where blobs are. */
export function strayFiles(store: string): readonly string[] {
  return files(store)
    .map(path => path.slice(store.length + 1))
    .filter(path => path.startsWith('tmp/') || /\.(?:part|tmp)(?:\.json)?$/.test(path))
}

/**
 * What is wrong with a store: blobs that do not hash to their names, recipes whose blobs are missing, names and cached
 * layers that point to nothing. Empty where it is intact.
 */
export async function storeFaults(store: string): Promise<readonly string[]> {
  const faults: string[] = []
  const blobs = new Set<string>()
  for (const path of files(join(store, 'blobs/sha256'))) {
    const hash = createHash('sha256')
    await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
    if (hash.digest('hex') !== basename(path)) faults.push(`${path} does not hash to its name`)
    blobs.add(basename(path))
  }
  for (const path of files(join(store, 'recipes'))) faults.push(...(await recipeFaults(store, path, blobs)))
  for (const path of files(join(store, 'refs'))) {
    // A name has a target; what refers to an image is kept as a descriptor by itself.
    const kept = JSON.parse(readFileSync(path, 'utf8')) as { target?: { digest: string }; digest?: string }
    if (!blobs.has((kept.target?.digest ?? kept.digest ?? '').slice('sha256:'.length)))
      faults.push(`${path} names what is not there`)
  }
  return faults
}

interface StoredRecipe {
  readonly size: number
  readonly segments: readonly { inline?: string; blob?: string; offset?: number; length?: number }[]
}

async function recipeFaults(store: string, path: string, blobs: ReadonlySet<string>): Promise<readonly string[]> {
  const { size, segments } = JSON.parse(readFileSync(path, 'utf8')) as StoredRecipe
  const hash = createHash('sha256')
  let seen = 0
  for (const { inline, blob, offset = 0, length = 0 } of segments) {
    if (inline !== undefined) {
      const bytes = Buffer.from(inline, 'base64')
      hash.update(bytes)
      seen += bytes.length
      continue
    }
    const hex = (blob ?? '').slice('sha256:'.length)
    if (!blobs.has(hex)) return [`${path} is made of ${blob}, which is not there`]
    const range = { start: offset, end: offset + length - 1 }
    for await (const chunk of createReadStream(join(store, 'blobs/sha256', hex), range) as AsyncIterable<Buffer>) {
      hash.update(chunk)
      seen += chunk.length
    }
  }
  const sound = seen === size && hash.digest('hex') === basename(path, '.json')
  return sound ? [] : [`${path} does not make what it is named after`]
}

function files(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter(entry => !entry.isDirectory())
    .map(entry => join(entry.parentPath, entry.name))
    .sort(compareBytes)
}
