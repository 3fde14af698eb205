import { posix } from 'node:path'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import { compareBytes } from '../../io/files.ts'
import { type ReadEntry, readTar } from '../../io/tar.ts'
import type { Store } from '../../oci/store/store.ts'
import type { Content, LayerEntry, TreeEntry, TreeFile } from '../tree.ts'
import { fileDigest } from './file-digest.ts'
import type { ReadableTree, RunResult } from './executor.ts'
import { ContentKeeper, type KeptFile } from './content-keeper.ts'

export interface DifferenceRequest {
  readonly result: RunResult
  /** The tree that the command began with. */
  readonly before: ReadableTree
  /** Paths that belong to whoever ran the command. */
  readonly isEngineMade: (path: string) => boolean
  /** Directories that were made as places for mounts: they belong to the tree only where something else is in them. */
  readonly places: ReadonlySet<string>
  /** Sees every byte of a new file. @throws what shall stop the build. */
  readonly inspect?: (path: string, bytes: AsyncIterable<Buffer>) => AsyncIterable<Buffer>
}

/**
 * What a command did to its tree, the same from every executor. An entry is in it iff type, mode, owner, content, link
 * target, group of hard links or `security.capability` differ; a time alone does not count; parents only where they
 * differ themselves. What is gone is told of name by name, so that layers need no opaque directories.
 * @throws CONTEXT_INVALID for names that image layers cannot have.
 */
export async function differenceOf(
  request: DifferenceRequest,
  store: Store,
  ctx: Context,
): Promise<readonly LayerEntry[]> {
  const keeper = new ContentKeeper(store)
  try {
    const found = new Difference(request, keeper)
    for await (const entry of readTar(request.result.tar, 'what the command left')) await found.take(entry, ctx)
    await keeper.finish()
    return [...found.gone(), ...(await found.changed(ctx))]
  } catch (error) {
    await keeper.discard()
    throw error
  }
}

type Attributes = Pick<TreeEntry, 'mode' | 'uid' | 'gid' | 'xattrs'>
type Found =
  | ({ readonly type: 'file'; readonly size: number; readonly kept: KeptFile; readonly group: string[] } & Attributes)
  | { readonly type: 'other'; readonly entry: Exclude<TreeEntry, TreeFile> }

class Difference {
  readonly #request: DifferenceRequest
  readonly #keeper: ContentKeeper
  readonly #found = new Map<string, Found>()
  readonly #removed: string[] = []
  readonly #opaque: string[] = []

  constructor(request: DifferenceRequest, keeper: ContentKeeper) {
    this.#request = request
    this.#keeper = keeper
  }

  async take(entry: ReadEntry, ctx: Context): Promise<void> {
    const path = this.#path(entry.path)
    if (path === '' || this.#isNotOurs(path)) return
    if (this.#isWhiteout(entry)) return void this.#removed.push(path)
    refuseName(path)
    if (isOpaque(entry)) this.#opaque.push(path)
    if (entry.type === 'hardlink') return this.#link(path, this.#path(entry.linkTarget ?? ''))
    if (entry.type !== 'file') return void this.#found.set(path, { type: 'other', entry: this.#other(path, entry) })
    const { inspect = (_, bytes) => bytes } = this.#request
    const known = (digest: Digest): Promise<Content | undefined> => this.#knownContent(path, entry.size, digest, ctx)
    const kept = await this.#keeper.keep(inspect(path, entry.content()), entry.size, known, ctx)
    this.#found.set(path, { type: 'file', size: entry.size, kept, group: [path], ...this.#attributes(path, entry) })
  }

  #isNotOurs(path: string): boolean {
    const { isEngineMade, result, before } = this.#request
    return isEngineMade(path) || (result.marks?.includes(path) === true && before.tree.get(path) === undefined)
  }

  /** Relative to the tree; empty for its root and for what is outside. */
  #path(path: string): string {
    const { prefix = '' } = this.#request.result
    const clean = cleanPath(path)
    if (prefix === '') return clean
    return clean.startsWith(`${prefix}/`) ? clean.slice(prefix.length + 1) : ''
  }

  #isWhiteout({ type, deviceMajor, deviceMinor }: ReadEntry): boolean {
    return (
      this.#request.result.kind === 'upper' && type === 'character-device' && deviceMajor === 0 && deviceMinor === 0
    )
  }

  #link(path: string, target: string): void {
    const first = this.#found.get(target)
    if (first?.type !== 'file') {
      throw new CloudimgError(
        'BUG',
        `reading what the command left: "${path}" is a link to "${target}", which is not there`,
      )
    }
    first.group.push(path)
    this.#found.set(path, first)
  }

  #other(path: string, entry: ReadEntry): Exclude<TreeEntry, TreeFile> {
    const attributes = { path, ...this.#attributes(path, entry) }
    switch (entry.type) {
      case 'directory':
        return { ...attributes, type: 'directory' }
      case 'symlink':
        return { ...attributes, mode: 0o777, type: 'symlink', linkTarget: entry.linkTarget ?? '' }
      case 'fifo':
        return { ...attributes, type: 'fifo' }
      case 'character-device':
      case 'block-device': {
        const { type, deviceMajor = 0, deviceMinor = 0 } = entry
        return { ...attributes, type, deviceMajor, deviceMinor }
      }
      case 'file':
      case 'hardlink':
        throw new CloudimgError('BUG', `reading what the command left: "${path}" is a ${entry.type}`)
    }
  }

  /** Where there is one user alone, what was there keeps its owner, and what is new is root's. */
  #attributes(path: string, { mode, uid, gid, xattrs = {} }: ReadEntry): Attributes {
    const owner = this.#request.result.owners === 'all' ? { uid, gid } : ownerOf(this.#request.before.tree.get(path))
    const capability = xattrs[capabilityName]
    return { mode, ...owner, ...(capability === undefined ? {} : { xattrs: { [capabilityName]: capability } }) }
  }

  async #knownContent(path: string, size: number, digest: Digest, ctx: Context): Promise<Content | undefined> {
    const before = this.#request.before.tree.get(path)
    if (before?.type !== 'file' || before.size !== size) return undefined
    return (await fileDigest(this.#request.before, before, ctx)) === digest ? before.content : undefined
  }

  /** Deletions, topmost first: what is below one is not told of. */
  gone(): readonly LayerEntry[] {
    const { result, before } = this.#request
    const paths =
      result.kind === 'merged'
        ? this.#missing('')
        : [
            ...this.#removed.filter(path => before.tree.get(path) !== undefined),
            ...this.#opaque.flatMap(path => this.#missing(path)),
          ]
    return [...new Set(paths)].sort(compareBytes).map(path => ({ type: 'whiteout', path }))
  }

  #missing(directory: string): string[] {
    const { result, before, isEngineMade } = this.#request
    return before.tree.list(directory).flatMap(path => {
      const [was, is] = [before.tree.get(path)!, this.#found.get(path)]
      if (isEngineMade(path) || (!result.hasDevices && was.type.endsWith('device'))) return []
      if (is === undefined) return [path]
      return was.type === 'directory' && is.type === 'other' && is.entry.type === 'directory' ? this.#missing(path) : []
    })
  }

  async changed(ctx: Context): Promise<readonly LayerEntry[]> {
    const entries = new Map<string, TreeEntry>()
    const { result, before } = this.#request
    const marked = (result.marks ?? []).map(path => posix.dirname(path))
    const placed = new Set([...this.#request.places, ...marked.filter(path => before.tree.get(path) === undefined)])
    const places: string[] = []
    for (const [path, found] of [...this.#found].sort(([a], [b]) => compareBytes(a, b))) {
      const entry = found.type === 'file' ? this.#file(path, found) : found.entry
      const isPlace = placed.has(path) && entry.type === 'directory'
      if (isPlace) places.push(path)
      else if (await this.#differs(path, entry, found, ctx)) entries.set(path, entry)
    }
    for (const path of places.reverse()) {
      const found = this.#found.get(path)!
      if (found.type === 'other' && hasBelow(entries, path)) entries.set(path, found.entry)
    }
    return [...entries.values()].sort((a, b) => compareBytes(a.path, b.path))
  }

  #file(path: string, { size, kept, group, mode, uid, gid, xattrs }: Extract<Found, { type: 'file' }>): TreeFile {
    const first = [...group].sort(compareBytes)[0]!
    return {
      type: 'file',
      path,
      mode,
      uid,
      gid,
      size,
      content: kept.content(),
      ...(xattrs === undefined ? {} : { xattrs }),
      ...(group.length === 1 ? {} : { links: `${first} ${kept.digest}` }),
    }
  }

  async #differs(path: string, entry: TreeEntry, found: Found, ctx: Context): Promise<boolean> {
    const before = this.#request.before.tree.get(path)
    if (before?.type !== entry.type || !hasSameAttributes(before, entry)) return true
    if (entry.type === 'symlink') return before.type !== 'symlink' || before.linkTarget !== entry.linkTarget
    if (entry.type !== 'file' || before.type !== 'file' || found.type !== 'file') return false
    if (before.size !== entry.size || (await fileDigest(this.#request.before, before, ctx)) !== found.kept.digest)
      return true
    return found.group.length > 1 && !this.#wasGroup(found.group)
  }

  /** Whether files were links of each other, and of no other file, before. */
  #wasGroup(group: readonly string[]): boolean {
    const { tree } = this.#request.before
    const links = group.map(path => {
      const entry = tree.get(path)
      return entry?.type === 'file' ? entry.links : undefined
    })
    return links[0] !== undefined && links.every(name => name === links[0])
  }
}

const capabilityName = 'security.capability'

function cleanPath(path: string): string {
  return path
    .split('/')
    .filter(part => part !== '' && part !== '.')
    .join('/')
}

function isOpaque({ type, xattrs = {} }: ReadEntry): boolean {
  return type === 'directory' && Object.keys(xattrs).some(name => name.endsWith('.overlay.opaque'))
}

function ownerOf(entry: TreeEntry | undefined): { readonly uid: number; readonly gid: number } {
  return { uid: entry?.uid ?? 0, gid: entry?.gid ?? 0 }
}

function refuseName(path: string): void {
  const isWhiteout = posix.basename(path).startsWith('.wh.')
  if (!isWhiteout && !path.includes('\uFFFD')) return
  const why = isWhiteout ? 'names that begin with ".wh." mean deletion in image layers' : 'its name is not UTF-8'
  throw new CloudimgError('CONTEXT_INVALID', `keeping "/${path}", which the command made: ${why}`, {
    hint: 'let the command remove or rename it',
  })
}

function hasSameAttributes(a: TreeEntry, b: TreeEntry): boolean {
  if (a.uid !== b.uid || a.gid !== b.gid || (a.type !== 'symlink' && a.mode !== b.mode)) return false
  if ('deviceMajor' in a && 'deviceMajor' in b && (a.deviceMajor !== b.deviceMajor || a.deviceMinor !== b.deviceMinor))
    return false
  const [left, right] = [a.xattrs?.[capabilityName], b.xattrs?.[capabilityName]]
  return left === undefined || right === undefined ? left === right : left.equals(right)
}

function hasBelow(entries: ReadonlyMap<string, unknown>, directory: string): boolean {
  return [...entries.keys()].some(path => path.startsWith(`${directory}/`))
}
