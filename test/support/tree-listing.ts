import { createHash } from 'node:crypto'
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { compareBytes } from '../../src/io/files.ts'

/** What two trees are compared by. Times are left out. */
export interface ListedEntry {
  readonly type: 'file' | 'directory' | 'symlink' | 'other'
  /** Four octal digits; of links nothing, since Linux gives all of them the same. */
  readonly mode: string
  /** `uid:gid` */
  readonly owner: string
  readonly size: number
  readonly sha256: string
  readonly linkTarget: string
}

export type TreeListing = ReadonlyMap<string, ListedEntry>

/** Everything below a directory, in byte order, by path. */
export function listTree(root: string): TreeListing {
  const listing = new Map<string, ListedEntry>()
  const visit = (directory: string): void => {
    for (const name of readdirSync(join(root, directory)).sort(compareBytes)) {
      const path = directory === '' ? name : `${directory}/${name}`
      const stats = lstatSync(join(root, path), { bigint: true })
      listing.set(path, describe(join(root, path), stats))
      if (stats.isDirectory()) visit(path)
    }
  }
  visit('')
  return listing
}

function describe(path: string, stats: BigIntStats): ListedEntry {
  const mode = (Number(stats.mode) & 0o7777).toString(8).padStart(4, '0')
  const common = { mode, owner: `${stats.uid}:${stats.gid}`, size: 0, sha256: '', linkTarget: '' }
  if (stats.isSymbolicLink()) return { ...common, type: 'symlink', mode: '', linkTarget: readlinkSync(path) }
  if (stats.isDirectory()) return { ...common, type: 'directory' }
  if (!stats.isFile()) return { ...common, type: 'other' }
  const content = readFileSync(path)
  return { ...common, type: 'file', size: content.length, sha256: createHash('sha256').update(content).digest('hex') }
}

export interface TreeDifference {
  readonly path: string
  /** `presence` where only one of the two has it. */
  readonly aspect: keyof ListedEntry | 'presence'
  readonly left: string
  readonly right: string
}

/** Whatever is not the same in both, in byte order of paths. */
export function treeDifferences(left: TreeListing, right: TreeListing): readonly TreeDifference[] {
  const paths = [...new Set([...left.keys(), ...right.keys()])].sort(compareBytes)
  return paths.flatMap((path): readonly TreeDifference[] => {
    const [a, b] = [left.get(path), right.get(path)]
    if (a === undefined || b === undefined) {
      return [{ path, aspect: 'presence', left: a?.type ?? 'absent', right: b?.type ?? 'absent' }]
    }
    return aspects
      .filter(aspect => a[aspect] !== b[aspect])
      .map(aspect => ({ path, aspect, left: String(a[aspect]), right: String(b[aspect]) }))
  })
}

const aspects = ['type', 'mode', 'owner', 'size', 'sha256', 'linkTarget'] as const
