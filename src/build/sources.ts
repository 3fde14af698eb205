import type { Digest } from '../core/digest.ts'
import type { Context } from '../core/context.ts'
import { type Fetched, type FetchEnvironment, fetchUrl } from '../artifact/fetch.ts'
import {
  type Lock,
  type LockDifference,
  lockDifference,
  type LockEntry,
  readLock,
  writeLock,
} from '../artifact/lock.ts'
import { type LockOptions, openLock } from '../artifact/lock-view.ts'
import { parseMirror } from '../artifact/mirror.ts'
import { directoryPool } from '../artifact/pool.ts'
import { type BaseImages, type BaseImagesOptions, openBaseImages } from './base-images.ts'
import type { GitSource } from './git-source.ts'
import { fetchGitTree, type GitTree } from './git-tree.ts'
import { type TemplateLayer, templateLayer } from './lay-template.ts'
import { type LocalImages, openLocalImages } from './local-images.ts'
import { zstdLevel } from './layers/compress.ts'

/** All that a build takes from outside, under one lock; one for all platforms. */
export interface BuildSources {
  readonly templates: TemplateLayer
  readonly images: BaseImages
  readonly local: LocalImages
  /** Any file by its URL, into the pool. @throws as `fetchUrl` does. */
  fetch(url: string, checksum: Digest | undefined, ctx: Context): Promise<Fetched>
  /** The tree of a git repository. @throws as `fetchGitTree` does. */
  git(source: GitSource, ctx: Context): Promise<GitTree>
  /** Writes the lock, at the end and only if it changed. */
  finish(options: { readonly prune?: boolean; readonly compressed?: boolean }, ctx: Context): Promise<LockReport>
}

export interface LockReport {
  /** Undefined where there is no place for it: a Kubefile from stdin. */
  readonly path: string | undefined
  readonly changed: boolean
  readonly difference: LockDifference
}

export interface SourcesOptions extends Pick<BaseImagesOptions, 'store' | 'offline' | 'pull' | 'openRepository'> {
  readonly contextDirectory: string
  /** `FROM=TO`, first come first. */
  readonly mirrors: readonly string[]
  readonly lock: LockOptions & { readonly path: string | undefined }
}

/** @throws USAGE for a mirror that is none, InvalidFileError for a broken lock. */
export async function openSources(options: SourcesOptions): Promise<BuildSources> {
  const { store, offline } = options
  const before = options.lock.path === undefined ? { entries: [] } : await readLock(options.lock.path)
  const lock = openLock(before, options.lock)
  const mirrors = options.mirrors.map(text => parseMirror(text, process.cwd()))
  const env: FetchEnvironment = {
    pool: directoryPool(store.layout.home, digest => store.keep([digest])),
    lock,
    mirrors,
    offline,
  }
  const gitTree = onceEach<GitTree>()
  return {
    templates: templateLayer(store, options.contextDirectory, env),
    images: openBaseImages({ ...options, lock }),
    local: openLocalImages({ store, lock, contextDirectory: options.contextDirectory }),
    fetch: (url, checksum, ctx) => fetchUrl(new URL(url), env, ctx, checksum),
    git: (source, ctx) => gitTree(JSON.stringify(source), () => fetchGitTree(source, store, env, ctx)),
    finish: (wishes, ctx) => finish(options, env, before, wishes, ctx),
  }
}

/** The same work for every platform and stage that wants it. */
function onceEach<T>(): (key: string, work: () => Promise<T>) => Promise<T> {
  const known = new Map<string, Promise<T>>()
  return (key, work) => {
    const running = known.get(key) ?? work()
    known.set(key, running)
    return running
  }
}

async function finish(
  options: SourcesOptions,
  env: FetchEnvironment,
  before: Lock,
  wishes: { readonly prune?: boolean; readonly compressed?: boolean },
  ctx: Context,
): Promise<LockReport> {
  if (wishes.compressed === true) recordCompressor(env, ctx)
  const after = env.lock.result(wishes)
  const { path, locked } = options.lock
  const difference = lockDifference(before, after)
  const changed = path !== undefined && locked !== true && (await writeLock(path, after))
  return { path, changed, difference }
}

/** What layer digests depend on beside their content (DESIGN.md, "The image"). */
function compressorEntry(): LockEntry {
  return {
    kind: 'tool',
    locator: `zstd level ${zstdLevel}`,
    platform: 'any',
    version: process.versions.zstd ?? 'unknown',
  }
}

// Another compressor gives other layer digests, not other content: it is written down, never a reason to refuse.
function recordCompressor({ lock }: FetchEnvironment, ctx: Context): void {
  const entry = compressorEntry()
  if (lock.locked || lock.peek('tool', entry.locator, entry.platform) !== undefined) return
  lock.record(entry, ctx)
}
