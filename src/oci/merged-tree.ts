import { CloudimgError } from '../core/error.ts'
import { limits } from '../io/limits.ts'
import type { ReadEntry, TarEntry } from '../io/tar.ts'

/** Where a file's bytes stand: the how-manyeth layer, the how-manyeth entry in it, and from which byte of the plain tar. */
export interface ContentPlace {
  readonly layer: number
  readonly entry: number
  readonly offset: number
}

type Attributes = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'mtime' | 'xattrs'>

export interface DirectoryNode extends Attributes {
  readonly type: 'directory'
  readonly layer: number
  readonly children: Map<string, TreeNode>
}

/** Two paths that share one LeafNode are hard links of each other. */
export interface LeafNode extends Attributes {
  readonly type: Exclude<TarEntry['type'], 'directory' | 'hardlink'>
  readonly layer: number
  readonly size: number
  readonly place: ContentPlace
  readonly linkTarget?: string
  readonly deviceMajor?: number
  readonly deviceMinor?: number
}

export type TreeNode = DirectoryNode | LeafNode

const whiteout = '.wh.'
const opaque = '.wh..wh..opq'
const maxLinks = 255

/**
 * The tree that layers make when applied in order (image-spec, layer.md): whiteouts hide what lower layers brought,
 * a directory over a directory keeps its children, all else replaces. Built from headers alone, so that nothing is
 * written which a later layer removes, and no path of the result leads through a symbolic link.
 */
export class MergedTree {
  root: DirectoryNode = newDirectory({ mode: 0o755, uid: 0, gid: 0, mtime: 0 }, 0, new Map())
  #layer = -1
  #entry = 0

  /** Every entry that follows belongs to the next layer. */
  beginLayer(): void {
    this.#layer++
    this.#entry = 0
  }

  /** @throws UNSAFE_ARCHIVE for a path that leads outside, IMAGE_INVALID for one that cannot be. */
  add(entry: ReadEntry, what: string): void {
    const index = this.#entry++
    const parts = safeParts(entry.path, what)
    const name = parts.pop()
    if (name === undefined) {
      if (entry.type === 'directory') this.root = newDirectory(entry, this.#layer, this.root.children)
      return
    }
    const parent = this.#directory(parts, what)
    if (name === opaque) this.#hideLower(parent)
    else if (name.startsWith(whiteout)) this.#hide(parent, name.slice(whiteout.length), what)
    else this.#place(parent, name, entry, index, what)
  }

  #place(parent: DirectoryNode, name: string, entry: ReadEntry, index: number, what: string): void {
    const existing = parent.children.get(name)
    if (entry.type === 'directory') {
      const kept = existing?.type === 'directory' ? existing.children : new Map<string, TreeNode>()
      parent.children.set(name, newDirectory(entry, this.#layer, kept))
    } else if (entry.type === 'hardlink') {
      const target = this.lookup(safeParts(entry.linkTarget ?? '', what))
      if (target === undefined || target.type === 'directory') {
        throw new CloudimgError(
          'IMAGE_INVALID',
          `reading ${what}: "${entry.path}" is a hard link to "${entry.linkTarget}", which is no file`,
        )
      }
      parent.children.set(name, target)
    } else {
      const { type, mode, uid, gid, mtime, size, xattrs, linkTarget, deviceMajor, deviceMinor } = entry
      const place = { layer: this.#layer, entry: index, offset: entry.contentOffset }
      parent.children.set(name, {
        type,
        mode,
        uid,
        gid,
        mtime,
        size,
        layer: this.#layer,
        place,
        ...(xattrs === undefined ? {} : { xattrs }),
        ...(linkTarget === undefined ? {} : { linkTarget }),
        ...(deviceMajor === undefined ? {} : { deviceMajor, deviceMinor: deviceMinor ?? 0 }),
      })
    }
  }

  // Whiteouts speak of lower layers only, wherever in their own layer they stand.
  #hide(parent: DirectoryNode, name: string, what: string): void {
    if (name === '' || name === '.' || name === '..')
      throw new CloudimgError('IMAGE_INVALID', `reading ${what}: a whiteout without a name`)
    const node = parent.children.get(name)
    if (node === undefined) return
    if (node.layer < this.#layer && node.type !== 'directory') parent.children.delete(name)
    else if (node.type === 'directory') {
      this.#hideLower(node)
      if (node.layer < this.#layer && node.children.size === 0) parent.children.delete(name)
    }
  }

  #hideLower(directory: DirectoryNode): void {
    for (const [name, node] of directory.children) {
      if (node.type === 'directory') this.#hideLower(node)
      if (node.layer < this.#layer && (node.type !== 'directory' || node.children.size === 0))
        directory.children.delete(name)
    }
  }

  /** The directory at a path, links followed inside the tree, missing ones made as tar does. */
  #directory(parts: readonly string[], what: string): DirectoryNode {
    const queue = [...parts]
    let trail: DirectoryNode[] = [this.root]
    for (let links = 0; queue.length > 0;) {
      const name = queue.shift()!
      const here = trail.at(-1)!
      if (name === '..') {
        if (trail.length > 1) trail = trail.slice(0, -1)
        continue
      }
      const node = here.children.get(name)
      if (node?.type === 'directory') trail.push(node)
      else if (node?.type === 'symlink') {
        if (++links > maxLinks)
          throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: "${parts.join('/')}" runs in circles of links`)
        const target = node.linkTarget ?? ''
        if (target.startsWith('/')) trail = [this.root]
        queue.unshift(...target.split('/').filter(part => part !== '' && part !== '.'))
      } else {
        const made = newDirectory({ mode: 0o755, uid: 0, gid: 0, mtime: 0 }, this.#layer, new Map())
        here.children.set(name, made)
        trail.push(made)
      }
    }
    return trail.at(-1)!
  }

  /** What stands at a path, no link followed. */
  lookup(parts: readonly string[]): TreeNode | undefined {
    let node: TreeNode = this.root
    for (const name of parts) {
      if (node.type !== 'directory') return undefined
      const child: TreeNode | undefined = node.children.get(name)
      if (child === undefined) return undefined
      node = child
    }
    return node
  }

  /** Every path with its node, parents before children, names in byte order; the root itself is left out. */
  *entries(directory: DirectoryNode = this.root, prefix = ''): Generator<readonly [path: string, node: TreeNode]> {
    const names = [...directory.children.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    for (const name of names) {
      const node = directory.children.get(name)!
      yield [prefix + name, node]
      if (node.type === 'directory') yield* this.entries(node, `${prefix}${name}/`)
    }
  }
}

function newDirectory(from: Attributes, layer: number, children: Map<string, TreeNode>): DirectoryNode {
  const { mode, uid, gid, mtime, xattrs } = from
  return { type: 'directory', mode, uid, gid, mtime, layer, children, ...(xattrs === undefined ? {} : { xattrs }) }
}

/** The parts of an archive's path. A leading slash is dropped as tar does; what leads upward is an attack or a mistake. */
export function safeParts(path: string, what: string): string[] {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  if (
    parts.includes('..') ||
    path.includes('\0') ||
    parts.some(part => Buffer.byteLength(part) > 255) ||
    path.length > limits.pathBytes
  ) {
    throw new CloudimgError(
      'UNSAFE_ARCHIVE',
      `reading ${what}: the path "${path.slice(0, 200).replaceAll('\0', '\\0')}" leads outside or cannot be`,
    )
  }
  return parts
}
