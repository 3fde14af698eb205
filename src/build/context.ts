import { type BigIntStats, lstatSync, readdirSync, readlinkSync, realpathSync } from 'node:fs'
import { lstat, realpath } from 'node:fs/promises'
import { join, posix, relative, resolve, sep } from 'node:path'
import { CloudimgError } from '../core/error.ts'
import { compareBytes, fileError, readFileIfPresent, withFileErrors } from '../io/files.ts'
import { type IgnoreRules, isIgnored, mayReinclude, parseIgnore } from '../kubefile/ignore.ts'
import { hasWildcards, matchPattern } from '../kubefile/pattern.ts'

/** One thing in the context that COPY may take. */
export interface ContextEntry {
  /** Relative to the context, `/` between parts. */
  readonly path: string
  readonly absolute: string
  readonly type: 'file' | 'directory' | 'symlink'
  readonly mode: number
  readonly size: number
  readonly linkTarget?: string
  /** Changes whenever the file's bytes may have changed. */
  readonly identity: string
  /** Written so lately that a later write might leave the identity as it is. */
  readonly racy: boolean
}

/** A directory on this machine with its ignore rules. */
export interface BuildContext {
  readonly root: string
  readonly ignore: IgnoreRules
}

/** `<Kubefile>.dockerignore` wins over `.dockerignore`; the lock and its temporary files are never part of a context. */
export async function openContext(directory: string, kubefile: string | undefined): Promise<BuildContext> {
  const root = await withFileErrors('opening the context', directory, async () => {
    const found = await realpath(directory)
    if (!(await lstat(found)).isDirectory())
      throw new CloudimgError('USAGE', `opening the context "${directory}": it is no directory`)
    return found
  })
  const candidates = [...(kubefile === undefined ? [] : [`${kubefile}.dockerignore`]), join(root, '.dockerignore')]
  let text = ''
  for (const candidate of candidates) {
    const found = await readFileIfPresent(candidate)
    if (found === undefined) continue
    text = found.toString('utf8')
    break
  }
  return { root, ignore: parseIgnore(`${text}\n${lockPatterns(root, kubefile)}`) }
}

function lockPatterns(root: string, kubefile: string | undefined): string {
  if (kubefile === undefined) return ''
  const path = relative(root, resolve(kubefile)).split(sep).join('/')
  if (path.startsWith('../')) return ''
  const slash = path.lastIndexOf('/') + 1
  const escaped = (text: string): string => text.replace(/[\\*?[\]!#]/g, String.raw`\$&`)
  return `${escaped(path)}.lock\n${escaped(path.slice(0, slash))}.${escaped(path.slice(slash))}.lock.*.tmp\n`
}

const racyWindowNs = 2_000_000_000n

// Synchronous calls: for tens of thousands of small files they take a fifth of the time (facts/lab.md, "Limits").
function entryOf(context: BuildContext, path: string, stats: BigIntStats): ContextEntry {
  const absolute = join(context.root, path)
  const type = stats.isFile()
    ? 'file'
    : stats.isDirectory()
      ? 'directory'
      : stats.isSymbolicLink()
        ? 'symlink'
        : undefined
  if (type === undefined) {
    throw new CloudimgError('CONTEXT_INVALID', `reading the context: "${path}" is a device, pipe or socket`, {
      hint: `list it in .dockerignore`,
    })
  }
  return {
    path,
    absolute,
    type,
    mode: Number(stats.mode) & 0o7777,
    size: type === 'file' ? Number(stats.size) : 0,
    ...(type === 'symlink' ? { linkTarget: readlinkSync(absolute) } : {}),
    ...identityOf(stats),
  }
}

/** Device, inode, size and both times: what must be equal for bytes to be taken as unchanged (facts/oci.md §5). */
export function identityOf(stats: BigIntStats): { readonly identity: string; readonly racy: boolean } {
  const latest = stats.mtimeNs > stats.ctimeNs ? stats.mtimeNs : stats.ctimeNs
  return {
    identity: [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join('.'),
    racy: BigInt(Date.now()) * 1_000_000n - latest < racyWindowNs,
  }
}

/** Everything below a directory of the context that is not ignored, parents first, byte order. The directory itself is left out. */
export function* walkContext(context: BuildContext, directory: string): Generator<ContextEntry> {
  for (const name of namesIn(context, directory)) {
    const path = directory === '' ? name : `${directory}/${name}`
    const stats = statOf(context, path)
    const ignored = isIgnored(context.ignore, path)
    if (!ignored) yield entryOf(context, path, stats)
    if (!stats.isDirectory()) continue
    if (!ignored) yield* walkContext(context, path)
    else if (mayReinclude(context.ignore, path)) yield* reincluded(context, path, stats)
  }
}

// An ignored directory comes along, with its own mode, iff something in it does.
function* reincluded(context: BuildContext, path: string, stats: BigIntStats): Generator<ContextEntry> {
  let isFirst = true
  for (const entry of walkContext(context, path)) {
    if (isFirst) yield entryOf(context, path, stats)
    isFirst = false
    yield entry
  }
}

function namesIn(context: BuildContext, directory: string): string[] {
  const absolute = join(context.root, directory)
  try {
    return readdirSync(absolute).sort(compareBytes)
  } catch (error) {
    throw fileError('reading', absolute, error)
  }
}

function statOf(context: BuildContext, path: string): BigIntStats {
  const absolute = join(context.root, path)
  try {
    return lstatSync(absolute, { bigint: true })
  } catch (error) {
    throw fileError('reading', absolute, error)
  }
}

/**
 * What one source of a COPY names: itself, or all that its wildcards match. Links at the top are followed inside the
 * context; `name` is the name that was asked for.
 */
export function findSources(
  context: BuildContext,
  source: string,
): readonly { readonly name: string; readonly entry: ContextEntry }[] {
  const clean = cleanSource(source)
  const paths = hasWildcards(clean) ? glob(context, clean.split('/'), '') : [clean]
  return paths.flatMap(path => {
    const entry = followed(context, path)
    return entry === undefined ? [] : [{ name: posix.basename(path), entry }]
  })
}

/** Relative to the context's root, never above it: a leading slash is dropped and `..` stops at the root. */
export function cleanSource(source: string): string {
  const clean = posix.normalize(`/${source}`).replace(/\/+$/, '')
  return clean.slice(1)
}

function glob(context: BuildContext, parts: readonly string[], directory: string): string[] {
  const [part, ...rest] = parts
  if (part === undefined) return [directory]
  if (directory !== '' && !statOf(context, directory).isDirectory()) return []
  // Go's Match knows no `**`; docker takes it for `*` here (facts/oci.md §4.4).
  const names = namesIn(context, directory).filter(name => matchPattern(part.replaceAll('**', '*'), name))
  return names.flatMap(name => glob(context, rest, directory === '' ? name : `${directory}/${name}`))
}

/** What stands at a path that is not ignored, no link followed; directories also where only something below is taken. */
export function contextEntry(context: BuildContext, path: string): ContextEntry | undefined {
  if (path === '') return rootEntry(context)
  let stats: BigIntStats
  try {
    stats = lstatSync(join(context.root, path), { bigint: true })
  } catch {
    return undefined
  }
  const isTaken = !isIgnored(context.ignore, path) || (stats.isDirectory() && mayReinclude(context.ignore, path))
  return isTaken ? entryOf(context, path, stats) : undefined
}

function followed(context: BuildContext, path: string): ContextEntry | undefined {
  let real: string
  try {
    real = realpathSync(join(context.root, path))
  } catch {
    return undefined
  }
  const inside = relative(context.root, real)
  if (inside === '..' || inside.startsWith('../')) {
    throw new CloudimgError('CONTEXT_INVALID', `reading the context: "${path}" is a link that leads outside`, {
      hint: 'copy what it points to into the context',
    })
  }
  if (inside === '') return rootEntry(context)
  return contextEntry(context, inside)
}

function rootEntry(context: BuildContext): ContextEntry {
  return { path: '', absolute: context.root, type: 'directory', mode: 0o755, size: 0, identity: '', racy: false }
}
