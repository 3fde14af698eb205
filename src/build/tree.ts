import type { Digest } from '../core/digest.ts'
import { compareBytes } from '../io/files.ts'

/** Where a file's bytes come from when its layer is made. */
export type Content =
  /** A file of the build context, by absolute path; `identity` changes whenever its bytes may have. */
  | { readonly from: 'context'; readonly path: string; readonly identity: string; readonly racy: boolean }
  /** Small, in memory. */
  | { readonly from: 'memory'; readonly bytes: Buffer }
  /** In the blob pool: a verified download. */
  | { readonly from: 'pool'; readonly digest: Digest }

interface EntryAttributes {
  /** Relative to the tree's root, no leading or trailing slash. */
  readonly path: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

export type TreeFile = EntryAttributes & { readonly type: 'file'; readonly size: number; readonly content: Content }
export type TreeDirectory = EntryAttributes & { readonly type: 'directory' }
export type TreeSymlink = EntryAttributes & { readonly type: 'symlink'; readonly linkTarget: string }
/** What one instruction adds to a tree, and what a layer carries. */
export type TreeEntry = TreeFile | TreeDirectory | TreeSymlink

/** The tree so far, as names and attributes: what COPY's rules ask about, and what the last layer describes. */
export class BuildTree {
  readonly #entries = new Map<string, TreeEntry>()
  readonly #children = new Map<string, Set<string>>()

  get(path: string): TreeEntry | undefined {
    return this.#entries.get(path)
  }

  isDirectory(path: string): boolean {
    return path === '' || this.#entries.get(path)?.type === 'directory'
  }

  /** A file or link takes the place of another; a directory over a directory keeps its children. */
  put(entry: TreeEntry): void {
    this.#entries.set(entry.path, entry)
    const slash = entry.path.lastIndexOf('/')
    const parent = slash < 0 ? '' : entry.path.slice(0, slash)
    const siblings = this.#children.get(parent) ?? new Set()
    this.#children.set(parent, siblings.add(entry.path))
  }

  /** The paths directly below a directory, in byte order. */
  list(directory: string): readonly string[] {
    return [...(this.#children.get(directory) ?? [])].sort(compareBytes)
  }

  /** Every file below a directory, parents before children. */
  *files(directory = ''): Generator<TreeFile> {
    for (const path of this.list(directory)) {
      const entry = this.#entries.get(path)!
      if (entry.type === 'file') yield entry
      else if (entry.type === 'directory') yield* this.files(path)
    }
  }

  /** The entry of a directory whose name matches without regard to case: `imageList`, `ImageList`. */
  findIgnoringCase(directory: string, name: string): TreeFile | undefined {
    const wanted = `${directory}/${name}`.toLowerCase()
    for (const path of this.list(directory)) {
      const entry = this.#entries.get(path)
      if (entry?.type === 'file' && path.toLowerCase() === wanted) return entry
    }
    return undefined
  }
}
