import { posix } from 'node:path'
import { hasWildcards, matchPattern } from '../kubefile/pattern.ts'
import { type BuildContext, cleanSource, contextEntry, type ContextEntry, findSources, walkContext } from './context.ts'
import type { BuildTree, TreeEntry } from './tree.ts'

/** One thing that a source of COPY names; `name` is the name that was asked for, where a link was followed. */
export interface CopyMatch {
  readonly name: string
  readonly entry: TreeEntry
}

/** Where COPY takes things from. Paths are relative to its root. */
export interface CopySource {
  /** For people: `the context "/work"`. */
  readonly what: string
  /** Links at the top are followed, wildcards never cross a `/`. */
  find(source: string): readonly CopyMatch[]
  /** No link followed. */
  entry(path: string): TreeEntry | undefined
  /** Everything below, parents first, byte order. */
  walk(directory: string): Iterable<TreeEntry>
}

/** The contexts of one build: what is in a directory is looked up once, whatever number of platforms and lines copy it. */
export function contextSources(): (context: BuildContext) => CopySource {
  const sources = new Map<BuildContext, CopySource>()
  return context => {
    const source = sources.get(context) ?? rememberingWalks(contextSource(context))
    sources.set(context, source)
    return source
  }
}

function rememberingWalks(source: CopySource): CopySource {
  const walks = new Map<string, readonly TreeEntry[]>()
  return {
    ...source,
    walk: directory => {
      const entries = walks.get(directory) ?? [...source.walk(directory)]
      walks.set(directory, entries)
      return entries
    },
  }
}

export function contextSource(context: BuildContext): CopySource {
  return {
    what: `the context "${context.root}"`,
    find: source => findSources(context, source).map(({ name, entry }) => ({ name, entry: fromContext(entry) })),
    entry: path => {
      const entry = contextEntry(context, path)
      return entry === undefined ? undefined : fromContext(entry)
    },
    *walk(directory) {
      for (const entry of walkContext(context, directory)) yield fromContext(entry)
    },
  }
}

/** Whoever owns it here, it is root's in the tree (facts/oci.md §4.4). */
function fromContext(entry: ContextEntry): TreeEntry {
  const { path, type, mode, size, absolute, identity, racy } = entry
  const attributes = { path, mode, uid: 0, gid: 0 }
  if (type === 'directory') return { ...attributes, type }
  if (type === 'symlink') return { ...attributes, type, mode: 0o777, linkTarget: entry.linkTarget ?? '' }
  return { ...attributes, type, size, content: { from: 'context', path: absolute, identity, racy } }
}

/** A stage, an image or an archive; owners stay as they are there. */
export function treeSource(tree: BuildTree, what: string): CopySource {
  const entry = (path: string): TreeEntry | undefined => (path === '' ? rootDirectory : alone(tree.get(path)))
  return {
    what,
    entry,
    find(source) {
      const clean = cleanSource(source)
      const paths = hasWildcards(clean) ? glob(tree, clean.split('/'), '') : [clean]
      return paths.flatMap(path => {
        const found = entry(tree.resolve(path))
        return found === undefined ? [] : [{ name: posix.basename(path), entry: found }]
      })
    },
    walk: directory => walkTree(tree, directory),
  }
}

/** What is copied is a file of its own, whatever it is linked with where it comes from. */
function alone<T extends TreeEntry | undefined>(entry: T): T {
  if (entry?.type !== 'file' || entry.links === undefined) return entry
  const { links: _links, ...file } = entry
  return file as T
}

/** What is below a directory of a source, as if that were all. */
export function below(source: CopySource, directory: string): CopySource {
  if (directory === '') return source
  const inside = (entry: TreeEntry): TreeEntry => ({ ...entry, path: entry.path.slice(directory.length + 1) })
  return {
    what: source.what,
    find: path => source.find(`${directory}/${path}`).map(({ name, entry }) => ({ name, entry: inside(entry) })),
    entry: path => {
      const entry = source.entry(path === '' ? directory : `${directory}/${path}`)
      return entry === undefined ? undefined : inside(entry)
    },
    *walk(path) {
      for (const entry of source.walk(path === '' ? directory : `${directory}/${path}`)) yield inside(entry)
    },
  }
}

const rootDirectory: TreeEntry = { type: 'directory', path: '', mode: 0o755, uid: 0, gid: 0 }

function* walkTree(tree: BuildTree, directory: string): Generator<TreeEntry> {
  for (const path of tree.list(directory)) {
    const entry = alone(tree.get(path)!)
    yield entry
    if (entry.type === 'directory') yield* walkTree(tree, path)
  }
}

function glob(tree: BuildTree, parts: readonly string[], directory: string): string[] {
  const [part, ...rest] = parts
  if (part === undefined) return [directory]
  if (!tree.isDirectory(directory)) return []
  // As in the context: `**` is no more than `*` here.
  const pattern = part.replaceAll('**', '*')
  return tree
    .list(directory)
    .filter(path => matchPattern(pattern, posix.basename(path)))
    .flatMap(path => glob(tree, rest, path))
}
