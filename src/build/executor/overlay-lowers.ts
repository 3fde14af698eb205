import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { compareBytes } from '../../io/files.ts'
import type { BuildTree, LayerEntry, TreeEntry } from '../tree.ts'
import type { ReadableTree } from './executor.ts'
import { type Laying, layEntries } from './lay-tree.ts'

/** More layers than these are laid down anew as one: an overlay's options must fit into a page. */
const mostLowers = 60

/**
 * A stage's tree on disk as the lower layers of overlays: all of it once, then only what came since. Every time in it is
 * the same, whether a command made a file just now or it came from the cache.
 */
export class OverlayLowers {
  readonly #directory: string
  readonly #laying: Laying
  readonly #layers: string[] = []
  #laid = 0
  #pending = new Map<string, LayerEntry>()

  constructor(directory: string, laying: Laying) {
    this.#directory = directory
    this.#laying = laying
  }

  changed(entries: readonly LayerEntry[]): void {
    for (const entry of entries) this.#pending.set(`${entry.type === 'whiteout'} ${entry.path}`, entry)
  }

  /** The directories, lowest first. */
  async lay({ tree, read }: ReadableTree, ctx: Context): Promise<readonly string[]> {
    const isNew = this.#layers.length === 0 || this.#layers.length >= mostLowers
    if (isNew) this.#layers.length = 0
    else if (this.#pending.size === 0) return this.#layers
    const directory = join(this.#directory, `lower-${++this.#laid}`)
    const entries = isNew ? tree.entries() : [...changesOf(tree, this.#pending.values())]
    await layEntries(read, entries, directory, this.#laying, ctx)
    this.#layers.push(directory)
    this.#pending = new Map()
    return this.#layers
  }
}

/** Changed entries as the tree has them now, with their parents, whose attributes an overlay takes from its topmost layer. */
function changesOf(tree: BuildTree, changes: Iterable<LayerEntry>): readonly LayerEntry[] {
  const entries = new Map<string, LayerEntry>()
  const add = (entry: TreeEntry | undefined): void => void (entry !== undefined && entries.set(entry.path, entry))
  for (const change of changes) {
    for (let slash = change.path.indexOf('/'); slash > 0; slash = change.path.indexOf('/', slash + 1)) {
      add(tree.get(change.path.slice(0, slash)))
    }
    const now = tree.get(change.path)
    if (now !== undefined) add(now)
    else if (hasDirectory(tree, change.path)) entries.set(change.path, { type: 'whiteout', path: change.path })
  }
  return [...entries.values()].sort((a, b) => compareBytes(a.path, b.path))
}

// A deletion below what is itself gone has no place to stand in.
function hasDirectory(tree: BuildTree, path: string): boolean {
  const slash = path.lastIndexOf('/')
  return slash < 0 || tree.isDirectory(path.slice(0, slash))
}
