import { mkdir } from 'node:fs/promises'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { run } from '../../io/exec.ts'
import { coalesce } from '../../io/packer.ts'
import { streamOf } from '../../io/read-file.ts'
import { encodeHeader, tarEnd, tarPadding } from '../../io/tar.ts'
import { EntryHeaders } from '../layers/entry-header.ts'
import type { LayerEntry, TreeFile } from '../tree.ts'
import type { Owners, ReadableTree } from './executor.ts'

/** How trees come to lie on this machine's disk. */
export interface Laying {
  /** What stands before an argv that works as the trees' root; nothing where that is who we are. */
  readonly as: readonly string[]
  readonly owners: Owners
  readonly hasDevices: boolean
  /** Whether hard links are laid as such. On a plain directory a change to one would change the others, which no overlay does. */
  readonly links: boolean
}

/** Times in trees that commands see: the same whatever was cached. */
const layEpoch = 0

/** Writes entries, parents first, into a directory that may be there; a deletion becomes what an overlay takes for one. */
export async function layEntries(
  read: ReadableTree['read'],
  entries: Iterable<LayerEntry>,
  directory: string,
  laying: Laying,
  ctx: Context,
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o755 })
  const owners = laying.owners === 'all' ? ['--same-owner', '--numeric-owner'] : ['--no-same-owner']
  const attributes = ['-p', '--xattrs', '--xattrs-include=*', '--warning=no-timestamp']
  const argv = [...laying.as, 'tar', '-x', ...owners, ...attributes, '-f', '-', '-C', directory]
  const input = streamOf(coalesce(tarOf(read, entries, laying, ctx)))
  const { code, stderr } = await run(argv, { input, env: { PATH: systemPath }, killSignal: 'SIGKILL' }, ctx)
  if (code === 0) return
  const isFull = stderr.includes('No space left on device')
  throw new CloudimgError(
    isFull ? 'DISK_FULL' : 'FILE_ERROR',
    `laying down a tree in "${directory}": ${stderr.trim().slice(-500)}`,
    isFull ? { hint: 'free some space or point CLOUDIMG_HOME at a larger disk' } : {},
  )
}

export const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Entries as one tar. */
export async function* tarOf(
  read: ReadableTree['read'],
  entries: Iterable<LayerEntry>,
  { hasDevices, links }: Pick<Laying, 'hasDevices' | 'links'>,
  ctx: Context,
): AsyncGenerator<Buffer> {
  const headers = new EntryHeaders(layEpoch)
  for (const entry of entries) {
    if (entry.type === 'whiteout') {
      yield whiteoutDevice(entry.path)
      continue
    }
    if (!hasDevices && (entry.type === 'character-device' || entry.type === 'block-device')) continue
    const { header, hasContent } = headers.next(entry.type === 'file' && !links ? alone(entry) : entry)
    yield header
    if (entry.type !== 'file' || !hasContent) continue
    yield* read(entry, ctx)
    yield tarPadding(entry.size)
  }
  yield tarEnd
}

function alone(file: TreeFile): TreeFile {
  const { links: _links, ...rest } = file
  return rest
}

/** The kernel's overlay takes the device 0:0 for a deletion, and lets anybody make one. */
function whiteoutDevice(path: string): Buffer {
  const device = { deviceMajor: 0, deviceMinor: 0 }
  return encodeHeader({ type: 'character-device', path, mode: 0, uid: 0, gid: 0, size: 0, mtime: 0, ...device })
}

const readFlags = [
  '--format=posix',
  '--pax-option=delete=atime,delete=ctime',
  '--sort=name',
  '--numeric-owner',
  '--xattrs',
  '--xattrs-include=security.capability',
  '--xattrs-include=*.overlay.opaque',
]

/** The argv whose output is a directory as a tar, with everything that a difference asks about. */
export function readingTar(directory: string, as: readonly string[]): readonly string[] {
  return [...as, 'tar', '-c', ...readFlags, '-f', '-', '-C', directory, '.']
}
