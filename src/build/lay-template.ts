import { stat } from 'node:fs/promises'
import type { Artifact } from '../artifact/artifact.ts'
import { checkImageList, parseReleaseImages } from '../artifact/archive-images.ts'
import { componentsOf } from '../artifact/components.ts'
import { artifactsOf } from '../artifact/distribution.ts'
import { type FetchedArtifact, fetchAll, readSmall } from '../artifact/fetch-artifact.ts'
import type { FetchEnvironment } from '../artifact/fetch.ts'
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
import { loadTemplate, type Template, templateFiles } from '../artifact/template.ts'
import { hasFeature } from '../artifact/version.ts'
import { resolveVersion } from '../artifact/channel.ts'
import type { RuntimeName } from '../core/cluster-metadata.ts'
import type { Context } from '../core/context.ts'
import type { Platform } from '../core/platform.ts'
import { MiB } from '../core/bytes.ts'
import { withFileErrors } from '../io/files.ts'
import type { Store } from '../oci/store/store.ts'
import { identityOf } from './context.ts'
import { archiveImages } from './known-archive-images.ts'
import { zstdLevel } from './layers/compress.ts'
import type { TreeEntry } from './tree.ts'

/** A template's contribution to one platform's tree. */
export interface LaidTemplate {
  readonly name: string
  readonly runtime: RuntimeName | undefined
  /** Undefined for a template without versions. */
  readonly version: string | undefined
  readonly entries: readonly TreeEntry[]
  readonly artifacts: readonly { readonly name: string; readonly path: string }[]
  readonly components: Readonly<Record<string, string>>
  readonly features: readonly string[]
}

/** Lays down templates; one for all platforms of a build, so that channels and the lock are the same for all. */
export interface TemplateLayer {
  lay(template: string, version: string | undefined, platform: Platform, ctx: Context): Promise<LaidTemplate>
  /** Writes the lock, at the end and only if it changed. */
  finish(options: { readonly prune?: boolean; readonly compressed?: boolean }, ctx: Context): Promise<LockReport>
}

export interface LockReport {
  /** Undefined where there is no place for it: a Kubefile from stdin. */
  readonly path: string | undefined
  readonly changed: boolean
  readonly difference: LockDifference
}

export interface TemplatesOptions {
  readonly store: Store
  readonly contextDirectory: string
  /** `FROM=TO`, first come first. */
  readonly mirrors: readonly string[]
  readonly lock: LockOptions & { readonly path: string | undefined }
  readonly offline: boolean
}

/** @throws USAGE for a mirror that is none, InvalidFileError for a broken lock. */
export async function openTemplates(options: TemplatesOptions): Promise<TemplateLayer> {
  const before = options.lock.path === undefined ? { entries: [] } : await readLock(options.lock.path)
  const lock = openLock(before, options.lock)
  const mirrors = options.mirrors.map(text => parseMirror(text, process.cwd()))
  const env: FetchEnvironment = {
    pool: directoryPool(options.store.layout.home),
    lock,
    mirrors,
    offline: options.offline,
  }
  return new Templates(options, env, before)
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

class Templates implements TemplateLayer {
  readonly #options: TemplatesOptions
  readonly #env: FetchEnvironment
  readonly #before: Lock
  readonly #versions = new Map<string, Promise<string | undefined>>()

  constructor(options: TemplatesOptions, env: FetchEnvironment, before: Lock) {
    this.#options = options
    this.#env = env
    this.#before = before
  }

  async lay(name: string, wish: string | undefined, platform: Platform, ctx: Context): Promise<LaidTemplate> {
    const template = await loadTemplate(name, this.#options.contextDirectory, ctx)
    const version = await this.#version(template, wish, ctx)
    const fetched = await fetchAll(artifactsOf(template, version ?? '', platform), this.#env, ctx)
    const images = await this.#checkImages(fetched, ctx)
    const notes = await this.#text(fetched, 'release-notes')
    const laid = fetched.filter(({ file }) => file.target !== undefined)
    return {
      name: template.name,
      runtime: template.runtime,
      version,
      entries: withParents([...laid.map(fetchedEntry), ...(await ownFiles(template))]),
      artifacts: laid.map(({ artifact, file }) => ({ name: artifact.name, path: file.target!.path })),
      components: Object.fromEntries(
        componentsOf(template, { version, images, notes }).map(part => [part.name, part.version]),
      ),
      features:
        version === undefined
          ? []
          : Object.keys(template.features).filter(feature => hasFeature(template, version, feature)),
    }
  }

  // Platforms are built side by side: the channel is asked once for all of them.
  #version(template: Template, wish: string | undefined, ctx: Context): Promise<string | undefined> {
    const key = `${template.directory}\0${wish ?? ''}`
    const asked = this.#versions.get(key) ?? resolveVersion(template, wish, this.#env, ctx)
    this.#versions.set(key, asked)
    return asked
  }

  /** The release's list of images, held against what its archive really has. */
  async #checkImages(fetched: readonly FetchedArtifact[], ctx: Context): Promise<readonly string[]> {
    const listed = parseReleaseImages((await this.#text(fetched, 'image-list')) ?? '')
    const archive = fetched.find(({ artifact }) => artifact.role === 'image-archive')
    if (listed.length === 0 || archive === undefined) return listed
    const path = this.#env.pool.path(archive.digest)
    const found = await archiveImages(
      this.#options.store,
      { path, name: archive.file.asset, identity: archive.digest, racy: false },
      ctx,
    )
    checkImageList(listed, found, `"${archive.file.asset}"`)
    return listed
  }

  async #text(fetched: readonly FetchedArtifact[], role: Artifact['role']): Promise<string | undefined> {
    const found = fetched.find(({ artifact }) => artifact.role === role)
    return found === undefined ? undefined : await readSmall(this.#env.pool, found.digest, MiB)
  }

  async finish(
    options: { readonly prune?: boolean; readonly compressed?: boolean },
    ctx: Context,
  ): Promise<LockReport> {
    if (options.compressed === true) this.#recordCompressor(ctx)
    const after = this.#env.lock.result(options)
    const { path, locked } = this.#options.lock
    const difference = lockDifference(this.#before, after)
    const changed = path !== undefined && locked !== true && (await writeLock(path, after))
    return { path, changed, difference }
  }

  // Another compressor gives other layer digests, not other content: it is written down, never a reason to refuse.
  #recordCompressor(ctx: Context): void {
    const entry = compressorEntry()
    if (this.#env.lock.locked || this.#env.lock.peek('tool', entry.locator, entry.platform) !== undefined) return
    this.#env.lock.record(entry, ctx)
  }
}

function fetchedEntry({ file, digest, size }: FetchedArtifact): TreeEntry {
  const { path, mode } = file.target!
  return { type: 'file', path, mode, uid: 0, gid: 0, size, content: { from: 'pool', digest } }
}

async function ownFiles(template: Template): Promise<readonly TreeEntry[]> {
  const files = await templateFiles(template)
  return await Promise.all(
    files.map(async ({ path, source, mode }) => {
      const stats = await withFileErrors('reading', source, () => stat(source, { bigint: true }))
      const content = { from: 'context', path: source, ...identityOf(stats) } as const
      return { type: 'file', path, mode, uid: 0, gid: 0, size: Number(stats.size), content } as const
    }),
  )
}

function withParents(entries: readonly TreeEntry[]): readonly TreeEntry[] {
  const parents = new Set(
    entries.flatMap(({ path }) => {
      const parts = path.split('/').slice(0, -1)
      return parts.map((_, depth) => parts.slice(0, depth + 1).join('/'))
    }),
  )
  return [...[...parents].map(path => ({ type: 'directory', path, mode: 0o755, uid: 0, gid: 0 }) as const), ...entries]
}
