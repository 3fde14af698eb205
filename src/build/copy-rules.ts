import { posix } from 'node:path'
import { CloudimgError } from '../core/error.ts'
import { type BuildContext, type ContextEntry, findSources, walkContext } from './context.ts'
import { hasWildcards } from '../kubefile/pattern.ts'
import type { BuildTree, TreeEntry } from './tree.ts'

/** A COPY with everything expanded. */
export interface CopyRequest {
  readonly sources: readonly string[]
  /** As written, after expansion: a trailing slash means a directory. */
  readonly target: string
  readonly owner: { readonly uid: number; readonly gid: number }
  /** Replaces the permission bits of files and directories alike. */
  readonly mode: number | undefined
  /** Whether names that every rootfs has are taken for directories: only on scratch (DESIGN.md, "The Kubefile"). */
  readonly wellKnownNames: boolean
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
export function copyFromContext(context: BuildContext, tree: BuildTree, request: CopyRequest): CopyResult {
  const copy = new Copy(context, tree, request)
  return copy.run()
}

class Copy {
  readonly #context: BuildContext
  readonly #tree: BuildTree
  readonly #request: CopyRequest
  readonly #entries = new Map<string, TreeEntry>()
  readonly #warnings: { code: string; message: string; hint?: string }[] = []

  constructor(context: BuildContext, tree: BuildTree, request: CopyRequest) {
    this.#context = context
    this.#tree = tree
    this.#request = request
  }

  run(): CopyResult {
    const { sources } = this.#request
    const target = this.#resolveTarget()
    const found = sources.map(source => ({ source, matches: this.#find(source) }))
    const all = found.flatMap(({ matches }) => matches)
    if (all.length === 0)
      throw nothing(`no file of the context matches ${sources.map(source => `"${source}"`).join(', ')}`)
    for (const { source, matches } of found)
      if (matches.length === 0) this.#warn('copy-no-match', `"${source}" matches nothing`)
    if (all.length > 1 && !target.isDirectory) {
      throw new CloudimgError(
        'CONTEXT_INVALID',
        `copying ${all.length} sources to "${this.#request.target}": it is no directory`,
        {
          hint: `end the target with a slash: ${this.#request.target}/`,
        },
      )
    }
    for (const { source, matches } of found) {
      this.#warnOfFlattening(
        source,
        matches.map(match => match.entry),
      )
      for (const { name, entry } of matches) this.#copy(name, entry, target)
    }
    if (this.#entries.size === 0) throw nothing(`${sources.map(source => `"${source}"`).join(', ')} has nothing in it`)
    return { entries: [...this.#entries.values()], warnings: this.#warnings }
  }

  #find(source: string): ReturnType<typeof findSources> {
    const matches = findSources(this.#context, source)
    if (matches.length > 0 || hasWildcards(source)) return matches
    throw new CloudimgError(
      'CONTEXT_INVALID',
      `copying "${source}": no such file or directory in the context "${this.#context.root}"`,
      {
        hint: 'paths are relative to the context; look at .dockerignore too',
      },
    )
  }

  #resolveTarget(): { readonly path: string; readonly isDirectory: boolean } {
    const { target, wellKnownNames } = this.#request
    const path = posix.resolve('/', target).slice(1)
    const named = /(?:^|\/)\.{0,2}$/.test(target)
    const known = wellKnownNames && wellKnown.has(path) && this.#tree.get(path) === undefined
    return { path, isDirectory: named || known || this.#tree.isDirectory(path) }
  }

  #copy(name: string, entry: ContextEntry, target: { readonly path: string; readonly isDirectory: boolean }): void {
    if (entry.type === 'directory') {
      this.#makeParents(target.path)
      // The target itself keeps its attributes where it is there already; directories inside are overwritten.
      if (!this.#tree.isDirectory(target.path)) this.#putDirectory(target.path, entry)
      for (const child of walkContext(this.#context, entry.path)) {
        const below = entry.path === '' ? child.path : child.path.slice(entry.path.length + 1)
        this.#put(join(target.path, below), child)
      }
      return
    }
    const path = target.isDirectory ? join(target.path, name) : target.path
    this.#makeParents(path)
    this.#put(path, entry)
  }

  #makeParents(path: string): void {
    const parts = path.split('/').slice(0, -1)
    for (let depth = 1; depth <= parts.length; depth++) this.#putDirectory(parts.slice(0, depth).join('/'), undefined)
  }

  // A directory that is there keeps its attributes; one that is made takes those of the source, or 0755 root.
  #putDirectory(path: string, source: ContextEntry | undefined): void {
    if (path === '' || this.#entries.get(path)?.type === 'directory') return
    const existing = this.#entries.get(path) ?? this.#tree.get(path)
    if (existing !== undefined && existing.type !== 'directory')
      throw clash(`a directory to "/${path}", where a ${existing.type} is`)
    if (existing !== undefined && source === undefined) return
    const { owner, mode } = this.#request
    this.#entries.set(path, {
      type: 'directory',
      path,
      mode: mode ?? source?.mode ?? 0o755,
      uid: owner.uid,
      gid: owner.gid,
    })
  }

  #put(path: string, source: ContextEntry): void {
    if (source.type === 'directory') return this.#putDirectory(path, source)
    refuseWhiteoutName(path)
    const existing = this.#entries.get(path) ?? this.#tree.get(path)
    if (existing?.type === 'directory') throw clash(`a ${source.type} to "/${path}", where a directory is`)
    const { owner, mode } = this.#request
    if (!this.#entries.has(path)) this.#makeParents(path)
    if (source.type === 'symlink') {
      this.#entries.set(path, { type: 'symlink', path, mode: 0o777, ...owner, linkTarget: source.linkTarget ?? '' })
      return
    }
    const content = { from: 'context', path: source.absolute, identity: source.identity, racy: source.racy } as const
    this.#entries.set(path, { type: 'file', path, mode: mode ?? source.mode, ...owner, size: source.size, content })
  }

  #warnOfFlattening(source: string, matches: readonly ContextEntry[]): void {
    const directories = matches.filter(entry => entry.type === 'directory').map(entry => `${entry.path}/`)
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
  return directory === '' ? name : `${directory}/${name}`
}

function nothing(why: string): CloudimgError {
  return new CloudimgError('CONTEXT_INVALID', `copying nothing: ${why}`, {
    hint: 'look at the source and at .dockerignore',
  })
}

function clash(what: string): CloudimgError {
  return new CloudimgError('CONTEXT_INVALID', `copying ${what}`, {
    hint: 'choose another target, or end it with a slash to copy into the directory',
  })
}

function refuseWhiteoutName(path: string): void {
  if (!posix.basename(path).startsWith('.wh.')) return
  throw new CloudimgError(
    'CONTEXT_INVALID',
    `copying "/${path}": names that begin with ".wh." mean deletion in image layers`,
    { hint: 'rename the file' },
  )
}
