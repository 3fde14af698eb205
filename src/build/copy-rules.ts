import { posix } from 'node:path'
import { CloudimgError } from '../core/error.ts'
import { type IgnoreRules, isIgnored, parsePatterns } from '../kubefile/ignore.ts'
import { hasWildcards } from '../kubefile/pattern.ts'
import { cleanSource } from './context.ts'
import type { CopyMatch, CopySource } from './copy-source.ts'
import { applyFileMode, type FileMode } from './file-mode.ts'
import type { Owner } from './owner.ts'
import { BuildTree, type TreeEntry } from './tree.ts'

/** What a source came to: a path to look for, one thing found already, or the content of an archive. */
export type CopySourceItem =
  | { readonly kind: 'path'; readonly path: string }
  | ({ readonly kind: 'found' } & CopyMatch)
  | { readonly kind: 'archive'; readonly name: string; readonly content: CopySource }

/** A COPY with everything expanded and fetched. */
export interface CopyRequest {
  readonly sources: readonly CopySourceItem[]
  /** As written, after expansion: a trailing slash means a directory. */
  readonly target: string
  /** Undefined: as in the source, which is root's for the context. */
  readonly owner: Owner | undefined
  /** For files and directories alike. */
  readonly mode: FileMode | undefined
  /** Whether names that every rootfs has are taken for directories: only on scratch (DESIGN.md, "The Kubefile"). */
  readonly wellKnownNames: boolean
  /** As if the tree were empty: no link in it is followed, every parent is in the layer. */
  readonly link: boolean
  /** Keep the sources' directories, from a `/./` on. */
  readonly parents: boolean
  readonly exclude: readonly string[]
}

export interface CopyResult {
  readonly entries: readonly TreeEntry[]
  readonly warnings: readonly { readonly code: string; readonly message: string; readonly hint?: string }[]
}

const wellKnown = new Set(['bin', 'cri', 'etc', 'images', 'manifests', 'charts', 'scripts'])

/**
 * What a COPY adds to the tree, by BuildKit's rules and stricter: copying nothing, a file over a directory and a
 * directory over a file are errors. @throws CONTEXT_INVALID; the caller adds where in the Kubefile.
 */
export function copyFrom(source: CopySource, tree: BuildTree, request: CopyRequest): CopyResult {
  return new Copy(source, tree, request).run()
}

interface Target {
  readonly path: string
  readonly isDirectory: boolean
}

class Copy {
  readonly #source: CopySource
  readonly #tree: BuildTree
  /** What parents and links are looked up in. */
  readonly #below: BuildTree
  readonly #request: CopyRequest
  readonly #exclude: IgnoreRules
  readonly #entries = new Map<string, TreeEntry>()
  readonly #warnings: { code: string; message: string; hint?: string }[] = []

  constructor(source: CopySource, tree: BuildTree, request: CopyRequest) {
    this.#source = source
    this.#tree = tree
    this.#below = request.link ? new BuildTree() : tree
    this.#request = request
    this.#exclude = parsePatterns(request.exclude)
  }

  run(): CopyResult {
    const { sources, parents } = this.#request
    const target = this.#resolveTarget()
    for (const item of sources) if (parents && item.kind === 'path') this.#copyWithParents(item.path, target)
    const found = sources.flatMap(item =>
      parents && item.kind === 'path' ? [] : [{ item, matches: this.#matches(item) }],
    )
    this.#refuseManyToOne(found.flatMap(({ matches }) => matches).length, target)
    for (const { item, matches } of found) {
      if (item.kind === 'path') this.#warnOfFlattening(item.path, matches)
      if (item.kind === 'archive') this.#copyContents('', item.content, target)
      for (const match of matches) this.#copy(match, target)
    }
    if (this.#entries.size === 0) throw this.#nothing()
    return { entries: [...this.#entries.values()], warnings: this.#warnings }
  }

  #matches(item: CopySourceItem): readonly CopyMatch[] {
    if (item.kind === 'found') return [item]
    if (item.kind === 'archive') return []
    const matches = this.#source.find(item.path)
    if (matches.length > 0) return matches
    if (!hasWildcards(item.path)) throw this.#missing(item.path)
    if (this.#request.sources.length > 1) this.#warn('copy-no-match', `"${item.path}" matches nothing`)
    return []
  }

  #missing(path: string): CloudimgError {
    return new CloudimgError(
      'CONTEXT_INVALID',
      `copying "${path}": no such file or directory in ${this.#source.what}`,
      {
        hint: 'paths are relative to the root of what is copied from; look at .dockerignore too',
      },
    )
  }

  #nothing(): CloudimgError {
    const names = this.#request.sources.map(item => `"${item.kind === 'path' ? item.path : item.name}"`).join(', ')
    return new CloudimgError('CONTEXT_INVALID', `copying nothing: ${names} has nothing in ${this.#source.what}`, {
      hint: 'look at the source, at --exclude and at .dockerignore',
    })
  }

  #refuseManyToOne(count: number, target: Target): void {
    if (count < 2 || target.isDirectory) return
    throw new CloudimgError(
      'CONTEXT_INVALID',
      `copying ${count} sources to "${this.#request.target}": it is no directory`,
      { hint: `end the target with a slash: ${this.#request.target}/` },
    )
  }

  #resolveTarget(): Target {
    const { target, wellKnownNames, parents } = this.#request
    const written = posix.resolve('/', target).slice(1)
    const path = this.#below.resolve(written)
    const named = parents || /(?:^|\/)\.{0,2}$/.test(target)
    const known = wellKnownNames && wellKnown.has(path) && this.#tree.get(path) === undefined
    return { path, isDirectory: named || known || this.#below.isDirectory(path) }
  }

  #copy({ name, entry }: CopyMatch, target: Target): void {
    if (entry.type === 'directory') return this.#copyContents(entry.path, this.#source, target)
    if (isIgnored(this.#exclude, name)) return
    const path = target.isDirectory ? join(target.path, name) : target.path
    this.#makeParents(path)
    this.#put(path, entry)
  }

  /** What is in a directory, not the directory: a target that is there keeps its attributes, a new one is as any parent. */
  #copyContents(directory: string, source: CopySource, target: Target): void {
    this.#makeParents(target.path)
    if (!this.#below.isDirectory(target.path)) this.#putDirectory(target.path, undefined)
    for (const child of source.walk(directory)) {
      const below = directory === '' ? child.path : child.path.slice(directory.length + 1)
      if (!isIgnored(this.#exclude, below)) this.#put(join(target.path, below), child)
    }
  }

  /** Every match at its own path, which begins at the root or behind the pivot `/./`; `**` takes any number of directories. */
  #copyWithParents(written: string, target: Target): void {
    const pivot = written.indexOf('/./')
    const pattern = cleanSource(pivot < 0 ? written : written.slice(pivot + 3))
    const rules = parsePatterns([pattern === '' ? '**' : pattern])
    const parts = pattern.split('/')
    const literal = parts.findIndex(part => hasWildcards(part))
    const start = literal < 0 ? pattern : parts.slice(0, literal).join('/')
    const count = this.#entries.size
    for (const base of this.#bases(pivot < 0 ? '' : written.slice(0, pivot))) {
      for (const entry of this.#entriesFrom(join(base, start))) {
        const path = base === '' ? entry.path : entry.path.slice(base.length + 1)
        if (path === '' || !isIgnored(rules, path) || isIgnored(this.#exclude, path)) continue
        this.#makeParents(join(target.path, path), path => this.#parentIn(base, target.path, path))
        this.#put(join(target.path, path), entry)
      }
    }
    if (this.#entries.size > count) return
    if (literal < 0 && this.#exclude.length === 0) throw this.#missing(written)
    this.#warn('copy-no-match', `"${written}" matches nothing`)
  }

  /** What stands before the pivot: every directory that it names. */
  #bases(path: string): readonly string[] {
    const found = this.#source.find(path).filter(({ entry }) => entry.type === 'directory')
    if (found.length === 0) throw this.#missing(path)
    return found.map(({ entry }) => entry.path)
  }

  *#entriesFrom(path: string): Generator<TreeEntry> {
    const entry = this.#source.entry(path)
    if (entry === undefined) return
    yield entry
    if (entry.type === 'directory') yield* this.#source.walk(path)
  }

  /** The directory of the source that a parent in the target stands for. */
  #parentIn(base: string, target: string, path: string): TreeEntry | undefined {
    const isBelow = target === '' || path.startsWith(`${target}/`)
    return isBelow ? this.#source.entry(join(base, target === '' ? path : path.slice(target.length + 1))) : undefined
  }

  #makeParents(path: string, source: (path: string) => TreeEntry | undefined = () => undefined): void {
    const parts = path.split('/').slice(0, -1)
    for (let depth = 1; depth <= parts.length; depth++) {
      const parent = parts.slice(0, depth).join('/')
      this.#putDirectory(parent, source(parent))
    }
  }

  // A directory that is there keeps its attributes; one that is made takes those of the source, or 0755 root.
  #putDirectory(path: string, source: TreeEntry | undefined): void {
    if (path === '' || this.#entries.get(path)?.type === 'directory') return
    const existing = this.#entries.get(path) ?? this.#tree.get(path)
    if (existing !== undefined && existing.type !== 'directory')
      throw clash(`a directory to "/${path}", where a ${existing.type} is`)
    const kept = this.#entries.get(path) ?? this.#below.get(path)
    if (kept !== undefined && source === undefined) return
    const { uid, gid, xattrs } = source ?? { uid: 0, gid: 0 }
    this.#entries.set(path, {
      type: 'directory',
      path,
      mode: this.#mode(source?.mode ?? 0o755, true),
      ...(this.#request.owner ?? { uid, gid }),
      ...(xattrs === undefined ? {} : { xattrs }),
    })
  }

  #mode(current: number, isDirectory: boolean): number {
    const { mode } = this.#request
    return mode === undefined ? current : applyFileMode(mode, current, isDirectory)
  }

  #put(path: string, source: TreeEntry): void {
    if (source.type === 'directory') return this.#putDirectory(path, source)
    refuseWhiteoutName(path)
    const existing = this.#entries.get(path) ?? this.#tree.get(path)
    if (existing?.type === 'directory') throw clash(`a ${source.type} to "/${path}", where a directory is`)
    if (!this.#entries.has(path)) this.#makeParents(path)
    const mode = source.type === 'symlink' ? 0o777 : this.#mode(source.mode, false)
    const { owner } = this.#request
    // Tens of thousands of files keep what they are: one object for all platforms.
    const isSame = path === source.path && mode === source.mode && owner === undefined
    this.#entries.set(path, isSame ? source : { ...source, path, mode, ...owner })
  }

  #warnOfFlattening(source: string, matches: readonly CopyMatch[]): void {
    const directories = matches.filter(({ entry }) => entry.type === 'directory').map(({ entry }) => `${entry.path}/`)
    if (!hasWildcards(source) || directories.length === 0) return
    this.#warn(
      'wildcard-flattens',
      `"${source}" matches ${directories.join(', ')}: what is in them is copied without their names`,
      `to keep the directories, copy their parent: ${posix.dirname(source)}/`,
    )
  }

  #warn(code: string, message: string, hint?: string): void {
    this.#warnings.push({ code, message, ...(hint === undefined ? {} : { hint }) })
  }
}

function join(directory: string, name: string): string {
  if (name === '') return directory
  return directory === '' ? name : `${directory}/${name}`
}

function clash(what: string): CloudimgError {
  return new CloudimgError('CONTEXT_INVALID', `copying ${what}`, {
    hint: 'choose another target, or end it with a slash to copy into the directory',
  })
}

/** @throws CONTEXT_INVALID */
export function refuseWhiteoutName(path: string): void {
  if (!posix.basename(path).startsWith('.wh.')) return
  throw new CloudimgError(
    'CONTEXT_INVALID',
    `copying "/${path}": names that begin with ".wh." mean deletion in image layers`,
    { hint: 'rename the file' },
  )
}
