import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { compareBytes, readFileIfPresent, readdirIfPresent, statIfPresent, withFileErrors } from '../io/files.ts'
import { hashFile } from '../io/hash.ts'
import type { RootfsFile } from '../oci/rootfs-file.ts'
import { parseSnapshotAbout, type SnapshotAbout, snapshotParts } from '../runtime/snapshot-bundle.ts'

/** A snapshot as the operator has it: `<cluster's state>/snapshots/<operation>/<reason>/`. */
export interface KeptSnapshot extends Omit<SnapshotAbout, 'v'> {
  /** The operation that took it, by which it is named. */
  readonly id: string
  /** `on-demand`, `before-upgrade`, `before-conversion`. */
  readonly reason: string
  readonly directory: string
  /** Of the state itself. */
  readonly size: number
}

/** All of one cluster, the oldest first. What was cut off while it was brought is none. */
export async function listKeptSnapshots(clusterDirectory: string): Promise<readonly KeptSnapshot[]> {
  const home = join(clusterDirectory, 'snapshots')
  const found: KeptSnapshot[] = []
  for (const id of (await readdirIfPresent(home)).sort(compareBytes)) {
    for (const reason of (await readdirIfPresent(join(home, id))).sort(compareBytes)) {
      const snapshot = await readKept(join(home, id, reason), id, reason)
      if (snapshot !== undefined) found.push(snapshot)
    }
  }
  return found
}

async function readKept(directory: string, id: string, reason: string): Promise<KeptSnapshot | undefined> {
  // Last of all what tells that the file before it was whole.
  if ((await statIfPresent(join(directory, 'about.json.sha256'))) === undefined) return undefined
  const about = (await readFileIfPresent(join(directory, 'about.json')))?.toString('utf8')
  const stats = await statIfPresent(join(directory, 'datastore'))
  if (about === undefined || stats === undefined) return undefined
  const { cluster, datastore, version, node, takenAt } = parseAbout(about, directory)
  return { id, reason, directory, size: stats.size, cluster, datastore, version, node, takenAt }
}

function parseAbout(text: string, directory: string): SnapshotAbout {
  try {
    return parseSnapshotAbout(text)
  } catch (cause) {
    throw new CloudimgError('FILE_ERROR', `reading "${join(directory, 'about.json')}": it says nothing of a snapshot`, {
      cause,
      hint: `remove "${directory}" if it is no snapshot`,
    })
  }
}

export interface OpenSnapshot {
  readonly digest: Digest
  readonly size: number
  readonly isZip: boolean
  readonly token: string
  /** The state, to be sent. */
  readonly file: RootfsFile
}

/** Reads a snapshot whole. @throws DIGEST_MISMATCH where a file is not what was brought. */
export async function openKeptSnapshot({ directory }: KeptSnapshot): Promise<OpenSnapshot> {
  const digests = new Map<string, Digest>()
  for (const part of snapshotParts) digests.set(part, await verify(join(directory, part)))
  const path = join(directory, 'datastore')
  const { size, isZip } = await look(path)
  const digest = digests.get('datastore')!
  const token = (await readFileIfPresent(join(directory, 'token')))?.toString('utf8') ?? ''
  const open = (): Promise<ReturnType<typeof createReadStream>> => Promise.resolve(createReadStream(path))
  return { digest, size, isZip, token, file: { type: 'file', path: 'datastore', mode: 0o600, size, digest, open } }
}

async function verify(path: string): Promise<Digest> {
  const wanted = (await readFileIfPresent(`${path}.sha256`))?.toString('utf8').slice(0, 64)
  const { digest } = await withFileErrors('reading', path, () => hashFile(path))
  if (digest === `sha256:${wanted}`) return digest
  throw new CloudimgError(
    'DIGEST_MISMATCH',
    `reading snapshot file "${path}": expected sha256 ${wanted ?? '(unknown)'}, found ${digest.slice(7)}`,
    { hint: 'take another snapshot: cloudimg snapshot list' },
  )
}

/** `PK`, then two numbers below 9: no database begins like that. */
async function look(path: string): Promise<{ readonly size: number; readonly isZip: boolean }> {
  const handle = await open(path)
  try {
    const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0)
    return { size: (await handle.stat()).size, isZip: buffer.equals(Buffer.from([0x50, 0x4b, 3, 4])) }
  } finally {
    await handle.close()
  }
}
