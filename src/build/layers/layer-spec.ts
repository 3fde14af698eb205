import { MiB } from '../../core/bytes.ts'
import { compareBytes } from '../../io/files.ts'
import type { LayerEntry, TreeFile } from '../tree.ts'

/** What one layer will carry, before any byte of it was read. Entries are in byte order of paths, parents first. */
export interface LayerSpec {
  readonly entries: readonly LayerEntry[]
  /** `created_by` of its history entry: the instruction as written. */
  readonly createdBy: string
  /** It is made whatever an earlier build left. */
  readonly isFresh?: boolean
}

/** From this size on a file is a layer of its own, so that what does not change is not sent again. */
export const largeFile = 4 * MiB

/** docker refuses 125 layers; 100 leaves room for those who build on top. */
export const maxLayers = 100

/** How many more layers the image may have; the last one of a cluster image is not counted among them. */
export function roomFor(layers: number): number {
  return maxLayers - 1 - layers
}

// Hard links stay with each other: a link leads to an entry of its own layer.
function isLarge(entry: LayerEntry): entry is TreeFile {
  return entry.type === 'file' && entry.size >= largeFile && entry.links === undefined
}

/**
 * One instruction's entries as layers: everything small together first, then each large file alone, those from the
 * download cache (which change least) before those of the context, else in byte order. A path is in one of them only.
 */
export function splitLayers(entries: Iterable<LayerEntry>, createdBy: string): LayerSpec[] {
  const sorted = [...entries].sort(compareEntries)
  const small = sorted.filter(entry => !isLarge(entry))
  const large = sorted.filter(isLarge)
  const stable = [
    ...large.filter(entry => entry.content.from === 'pool'),
    ...large.filter(entry => entry.content.from !== 'pool'),
  ]
  const specs = small.length === 0 ? [] : [{ entries: small, createdBy }]
  const alone = specs.length + stable.length > 1
  return [
    ...specs,
    ...stable.map(entry => ({ entries: [entry], createdBy: alone ? `${createdBy} # ${entry.path}` : createdBy })),
  ]
}

/** Neighbours are joined, the smallest pair first, until no more than `most` remain; of a path in both the later entry stays. */
export function packLayers(specs: readonly LayerSpec[], most: number): readonly LayerSpec[] {
  const packed = [...specs]
  while (packed.length > most) {
    let best = 0
    for (let i = 1; i + 1 < packed.length; i++) if (weight(packed, i) < weight(packed, best)) best = i
    packed.splice(best, 2, join(packed[best]!, packed[best + 1]!))
  }
  return packed
}

function weight(specs: readonly LayerSpec[], at: number): number {
  return bytesOf(specs[at]!) + bytesOf(specs[at + 1]!)
}

/** The content bytes of a layer. */
export function bytesOf(spec: LayerSpec): number {
  return spec.entries.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.size : 0), 0)
}

function join(a: LayerSpec, b: LayerSpec): LayerSpec {
  const gone = new Set(b.entries.filter(({ type }) => type !== 'directory').map(({ path }) => path))
  const kept = a.entries.filter(({ path, type }) => type === 'whiteout' || !isBelow(path, gone))
  const entries = new Map([...kept, ...b.entries].map(entry => [`${entry.type === 'whiteout'} ${entry.path}`, entry]))
  return {
    entries: [...entries.values()].sort(compareEntries),
    createdBy: a.createdBy === b.createdBy ? a.createdBy : `${a.createdBy}; ${b.createdBy}`,
    isFresh: a.isFresh === true || b.isFresh === true,
  }
}

// A deletion stands before what takes its place.
function compareEntries(a: LayerEntry, b: LayerEntry): number {
  return compareBytes(a.path, b.path) || Number(b.type === 'whiteout') - Number(a.type === 'whiteout')
}

function isBelow(path: string, gone: ReadonlySet<string>): boolean {
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
    if (gone.has(path.slice(0, end))) return true
  }
  return false
}
