import { CloudimgError } from '../core/error.ts'
import { compareBytes } from '../io/files.ts'
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
  root: DirectoryNode = newDirectory(plainAttributes, 0, new Map())
  #layer = -1
  #entry = 0
  #linkSteps = 0
  /** The children of directories that this layer has emptied of lower ones: once is enough. */
  #emptied = new WeakSet<Map<string, TreeNode>>()
  /** By children of a directory: hard links, which may stand in another layer than what they share. */
  readonly #linkLayers = new WeakMap<Map<string, TreeNode>, Map<string, number>>()

  /** Every entry that follows belongs to the next layer. */
  beginLayer(): void {
    this.#layer++
    this.#entry = 0
    this.#emptied = new WeakSet()
  }

  /** @throws UNSAFE_ARCHIVE for a path that leads outside, IMAGE_INVALID for one that cannot be. */
  add(entry: ReadEntry, what: string): void {
    const index = this.#entry++
    const parts = safeParts(entry.path, what)
    const name = parts.pop()
    if (name === undefined) {
      if (entry.type !== 'directory') throw unsafe(what, `a ${entry.type} in the place of the root`)
      this.root = newDirectory(entry, this.#layer, this.root.children)
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
      const target = this.#linked(entry, what)
      if (target === undefined || target.type === 'directory') {
        throw new CloudimgError(
          'IMAGE_INVALID',
          `reading ${what}: "${entry.path}" is a hard link to "${entry.linkTarget}", which is no file`,
        )
      }
      parent.children.set(name, target)
      const layers = this.#linkLayers.get(parent.children) ?? new Map<string, number>()
      this.#linkLayers.set(parent.children, layers.set(name, this.#layer))
      return
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
    this.#linkLayers.get(parent.children)?.delete(name)
  }

  // As link(2) does it: links on the way are followed, the last name is not.
  #linked(entry: ReadEntry, what: string): TreeNode | undefined {
    const parts = safeParts(entry.linkTarget ?? '', what)
    const name = parts.pop()
    const parent = this.#walk(parts, what, false)
    return name === undefined ? undefined : parent?.children.get(name)
  }

  #layerOf(parent: DirectoryNode, name: string, node: TreeNode): number {
    return this.#linkLayers.get(parent.children)?.get(name) ?? node.layer
  }

  // Whiteouts speak of lower layers only, wherever in their own layer they stand.
  #hide(parent: DirectoryNode, name: string, what: string): void {
    if (name === '' || name === '.' || name === '..')
      throw new CloudimgError('IMAGE_INVALID', `reading ${what}: a whiteout without a name`)
    this.#hideChild(parent, name)
  }

  #hideLower(directory: DirectoryNode): void {
    if (this.#emptied.has(directory.children)) return
    this.#emptied.add(directory.children)
    for (const name of directory.children.keys()) this.#hideChild(directory, name)
  }

  // A directory below which this layer brings something stays, as one that this layer made: of the lower one nothing is left.
  #hideChild(parent: DirectoryNode, name: string): void {
    const node = parent.children.get(name)
    if (node === undefined) return
    if (node.type === 'directory') this.#hideLower(node)
    if (this.#layerOf(parent, name, node) >= this.#layer) return
    if (node.type === 'directory' && node.children.size > 0)
      parent.children.set(name, newDirectory(plainAttributes, this.#layer, node.children))
    else parent.children.delete(name)
  }

  /** The directory at a path, links followed inside the tree, missing ones made as tar does. */
  #directory(parts: readonly string[], what: string): DirectoryNode {
    return this.#walk(parts, what, true)!
  }

  #walk(parts: readonly string[], what: string, make: boolean): DirectoryNode | undefined {
    // The next part is the last one here.
    const queue = parts.toReversed()
    let trail: DirectoryNode[] = [this.root]
    for (let links = 0; queue.length > 0;) {
      const name = queue.pop()!
      const here = trail.at(-1)!
      if (name === '..') {
        if (trail.length > 1) trail.pop()
        continue
      }
      const node = here.children.get(name)
      if (node?.type === 'symlink') {
        const target = node.linkTarget ?? ''
        const steps = target.split('/').filter(part => part !== '' && part !== '.')
        if (++links > maxLinks) throw unsafe(what, `"${parts.join('/')}" runs in circles of links`)
        if ((this.#linkSteps += steps.length) > limits.linkSteps)
          throw unsafe(what, `more than ${limits.linkSteps} steps through links`)
        if (target.startsWith('/')) trail = [this.root]
        queue.push(...steps.reverse())
        continue
      }
      const next = node?.type === 'directory' ? node : make ? this.#make(here, name, node, what) : undefined
      if (next === undefined) return undefined
      trail.push(next)
      if (trail.length > limits.pathParts)
        throw unsafe(what, `more than ${limits.pathParts} directories in one another`)
    }
    return trail.at(-1)!
  }

  #make(parent: DirectoryNode, name: string, node: TreeNode | undefined, what: string): DirectoryNode {
    if (node !== undefined && this.#layerOf(parent, name, node) === this.#layer)
      throw new CloudimgError(
        'IMAGE_INVALID',
        `reading ${what}: something lies below "${name}", which is a ${node.type} of the same layer`,
      )
    const made = newDirectory(plainAttributes, this.#layer, new Map())
    parent.children.set(name, made)
    this.#linkLayers.get(parent.children)?.delete(name)
    return made
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
  *entries(): Generator<readonly [path: string, node: TreeNode]> {
    // The next one is the last here: a tree may be deeper than the stack.
    const waiting: (readonly [path: string, node: TreeNode])[] = childrenLast(this.root, '')
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      yield next
      const [path, node] = next
      if (node.type === 'directory') for (const child of childrenLast(node, `${path}/`)) waiting.push(child)
    }
  }
}

function childrenLast({ children }: DirectoryNode, prefix: string): (readonly [path: string, node: TreeNode])[] {
  return sortedNames(children)
    .reverse()
    .map(name => [prefix + name, children.get(name)!] as const)
}

/** Byte order. JavaScript's own order is that, and much quicker, unless a name has letters from above the surrogates. */
function sortedNames(children: ReadonlyMap<string, TreeNode>): string[] {
  const names = [...children.keys()]
  return names.some(name => /[\uD800-\uFFFF]/.test(name)) ? names.sort(compareBytes) : names.sort()
}

const plainAttributes: Attributes = { mode: 0o755, uid: 0, gid: 0, mtime: 0 }

function unsafe(what: string, why: string): CloudimgError {
  return new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: ${why}`)
}

function newDirectory(from: Attributes, layer: number, children: Map<string, TreeNode>): DirectoryNode {
  const { mode, uid, gid, mtime, xattrs } = from
  return { type: 'directory', mode, uid, gid, mtime, layer, children, ...(xattrs === undefined ? {} : { xattrs }) }
}

/** The parts of an archive's path. A leading slash is dropped as tar does; what leads upward is an attack or a mistake. */
export function safeParts(path: string, what: string): string[] {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  const why = parts.includes('..')
    ? 'leads outside'
    : path.includes('\0')
      ? 'has a NUL in it'
      : parts.some(part => Buffer.byteLength(part) > 255)
        ? 'has a name of more than 255 bytes'
        : Buffer.byteLength(path) > limits.pathBytes
          ? `has more than ${limits.pathBytes} bytes`
          : undefined
  if (why === undefined) return parts
  throw unsafe(what, `the path "${path.slice(0, 200).replaceAll('\0', '\\0')}" ${why}`)
}
