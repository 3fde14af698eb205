import { stat } from 'node:fs/promises'
import type { Artifact } from '../artifact/artifact.ts'
import { checkImageList, parseReleaseImages } from '../artifact/archive-images.ts'
import { componentsOf } from '../artifact/components.ts'
import { artifactsOf } from '../artifact/distribution.ts'
import { type FetchedArtifact, fetchAll, readSmall } from '../artifact/fetch-artifact.ts'
import type { FetchEnvironment } from '../artifact/fetch.ts'
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
}

export function templateLayer(store: Store, contextDirectory: string, env: FetchEnvironment): TemplateLayer {
  return new Templates(store, contextDirectory, env)
}

class Templates implements TemplateLayer {
  readonly #store: Store
  readonly #contextDirectory: string
  readonly #env: FetchEnvironment
  readonly #versions = new Map<string, Promise<string | undefined>>()

  constructor(store: Store, contextDirectory: string, env: FetchEnvironment) {
    this.#store = store
    this.#contextDirectory = contextDirectory
    this.#env = env
  }

  async lay(name: string, wish: string | undefined, platform: Platform, ctx: Context): Promise<LaidTemplate> {
    const template = await loadTemplate(name, this.#contextDirectory, ctx)
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
    const path = async (): Promise<string> => this.#env.pool.path(archive.digest)
    const found = await archiveImages(
      this.#store,
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
