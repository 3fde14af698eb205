import { CloudimgError } from '../core/error.ts'
import type { Digest } from '../core/digest.ts'
import { compareBytes } from '../io/files.ts'
import type { TarType } from '../io/tar.ts'
import type { Descriptor } from '../oci/descriptor.ts'

/** A tar in the store: a layer of a base image, or an archive that ADD unpacks. */
export interface StoredTar {
  readonly blob: Descriptor
  /** Of the plain tar. */
  readonly diffId: Digest
}

/** Where a file's bytes come from when its layer is made. */
export type Content =
  /** A file of the build context, by absolute path; `identity` changes whenever its bytes may have. */
  | { readonly from: 'context'; readonly path: string; readonly identity: string; readonly racy: boolean }
  /** Small, in memory. */
  | { readonly from: 'memory'; readonly bytes: Buffer }
  /** In the blob pool: a verified download. */
  | { readonly from: 'pool'; readonly digest: Digest }
  /** Bytes of the plain tar, from `offset` on. */
  | { readonly from: 'tar'; readonly tar: StoredTar; readonly offset: number }

interface EntryAttributes {
  /** Relative to the tree's root, no leading or trailing slash. */
  readonly path: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** By full name: `security.capability`. */
  readonly xattrs?: Readonly<Record<string, Buffer>>
}

export type TreeFile = EntryAttributes & {
  readonly type: 'file'
  readonly size: number
  readonly content: Content
  /** Files with the same word here are hard links of each other. */
  readonly links?: string
}
export type TreeDirectory = EntryAttributes & { readonly type: 'directory' }
export type TreeSymlink = EntryAttributes & { readonly type: 'symlink'; readonly linkTarget: string }
/** A device or pipe: base images may have them. */
export type TreeSpecial = EntryAttributes & {
  readonly type: Extract<TarType, 'character-device' | 'block-device' | 'fifo'>
  readonly deviceMajor?: number
  readonly deviceMinor?: number
}
/** What one instruction adds to a tree. */
export type TreeEntry = TreeFile | TreeDirectory | TreeSymlink | TreeSpecial

/** What lower layers have at a path, and below it, is gone. */
export interface Whiteout {
  readonly type: 'whiteout'
  readonly path: string
}
/** What a layer carries. */
export type LayerEntry = TreeEntry | Whiteout

const maxLinks = 255

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

  /** A tree of its own, with the same entries. */
  clone(): BuildTree {
    const copy = new BuildTree()
    for (const entry of this.#entries.values()) copy.put(entry)
    return copy
  }

  /**
   * The path behind all symbolic links, which never lead out of the tree; parts that are not there are kept as they are.
   * @throws CONTEXT_INVALID for links in a circle.
   */
  resolve(path: string): string {
    const queue = path.split('/')
    let done: string[] = []
    for (let links = 0; queue.length > 0;) {
      const part = queue.shift()!
      if (part === '' || part === '.') continue
      if (part === '..') {
        done.pop()
        continue
      }
      const entry = this.#entries.get([...done, part].join('/'))
      if (entry?.type !== 'symlink') {
        done.push(part)
        continue
      }
      if (++links > maxLinks)
        throw new CloudimgError('CONTEXT_INVALID', `looking for "/${path}": its symbolic links lead in a circle`)
      if (entry.linkTarget.startsWith('/')) done = []
      queue.unshift(...entry.linkTarget.split('/'))
    }
    return done.join('/')
  }

  /** A file or link takes the place of another; a directory over a directory keeps its children. */
  put(entry: TreeEntry): void {
    this.#entries.set(entry.path, entry)
    const parent = parentOf(entry.path)
    const siblings = this.#children.get(parent) ?? new Set()
    this.#children.set(parent, siblings.add(entry.path))
  }

  /** Takes away what is at the path and below it. */
  remove(path: string): void {
    for (const child of this.list(path)) this.remove(child)
    this.#children.delete(path)
    this.#entries.delete(path)
    this.#children.get(parentOf(path))?.delete(path)
  }

  /** Takes over what a layer does to the tree below it. */
  apply(entry: LayerEntry): void {
    if (entry.type === 'whiteout') return this.remove(entry.path)
    if (entry.type !== 'directory' && this.get(entry.path)?.type === 'directory') this.remove(entry.path)
    this.put(entry)
  }

  /** The paths directly below a directory, in byte order. */
  list(directory: string): readonly string[] {
    return [...(this.#children.get(directory) ?? [])].sort(compareBytes)
  }

  /** Everything below a directory, parents before children. */
  *entries(directory = ''): Generator<TreeEntry> {
    for (const path of this.list(directory)) {
      const entry = this.#entries.get(path)!
      yield entry
      if (entry.type === 'directory') yield* this.entries(path)
    }
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

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}
