import { mkdir, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { lstatIfPresent } from '../../io/files.ts'
import { ownIdentity } from '../../io/process-identity.ts'
import type { CopySource } from '../copy-source.ts'
import type { CopyOrigin, RunMount } from '../plan.ts'
import { BuildTree } from '../tree.ts'
import { openCache } from './cache-mount.ts'
import type { JobMount, ReadableTree, RunSession } from './executor.ts'
import { contentKey, emptyDirectory, type MountContent, mountContent, mountName } from './mount-content.ts'
import { readSecret, type Secrets } from './secrets.ts'
import { removeWorkspace, secretPlaces } from './workspace.ts'

/** What mounts are made of. */
export interface MountServices {
  readonly home: string
  readonly secrets: Secrets
  readonly read: ReadableTree['read']
  readonly origin: (origin: CopyOrigin) => Promise<CopySource>
}

type MountOf<T extends RunMount['type']> = Extract<RunMount, { type: T }>

/** A mount with what is in it known, and nothing of it on disk. */
export type OpenMount =
  | { readonly type: 'bind'; readonly mount: MountOf<'bind'>; readonly content: MountContent; readonly key: string }
  | { readonly type: 'cache'; readonly mount: MountOf<'cache'>; readonly content: MountContent | undefined }
  | { readonly type: 'tmpfs'; readonly mount: MountOf<'tmpfs'> }
  | { readonly type: 'secret'; readonly mount: MountOf<'secret'>; readonly secret: Buffer | undefined }

/** @throws CONTEXT_INVALID for a source or a required secret that is not there. */
export async function openMount(mount: RunMount, services: MountServices, ctx: Context): Promise<OpenMount> {
  switch (mount.type) {
    case 'bind': {
      const content = mountContent(await services.origin(mount.origin), mount.source, services.read)
      return { type: mount.type, mount, content, key: await contentKey(content, ctx) }
    }
    case 'cache': {
      if (mount.origin === undefined) return { type: mount.type, mount, content: undefined }
      return {
        type: mount.type,
        mount,
        content: mountContent(await services.origin(mount.origin), mount.source, services.read),
      }
    }
    case 'tmpfs':
      return { type: mount.type, mount }
    case 'secret': {
      const source = services.secrets.get(mount.id)
      if (source !== undefined) return { type: mount.type, mount, secret: await readSecret(mount.id, source) }
      if (!mount.required) return { type: mount.type, mount, secret: undefined }
      throw new CloudimgError('CONTEXT_INVALID', `mounting the secret "${mount.id}": no such secret was given`, {
        hint: `give it with --secret id=${mount.id},src=FILE`,
      })
    }
  }
}

/** What a mount adds to the key of a result: of a secret whether it is there, never what it is. */
export function mountKey(open: OpenMount): unknown {
  if (open.type === 'bind') return [open.mount, open.key]
  return [open.mount, open.type === 'secret' ? open.secret !== undefined : undefined]
}

export interface LaidMounts {
  readonly mounts: readonly JobMount[]
  readonly env: Readonly<Record<string, string>>
  release(): Promise<void>
}

export interface MountPlaces {
  /** The store's. */
  readonly home: string
  /** For this command's own things, not there yet. */
  readonly directory: string
  /** A target as the job has it, of a path as the command sees it. */
  readonly place: (target: string) => string
}

/** Lays mounts down; what they hold is given back by `release`. */
export async function layMounts(
  opened: readonly OpenMount[],
  session: RunSession,
  places: MountPlaces,
  ctx: Context,
): Promise<LaidMounts> {
  const layer = new MountLayer(session, places, ctx)
  try {
    for (const [index, open] of opened.entries()) await layer.lay(open, String(index))
    return layer.result()
  } catch (error) {
    await layer.release()
    throw error
  }
}

class MountLayer {
  readonly #session: RunSession
  readonly #places: MountPlaces
  readonly #ctx: Context
  readonly #mounts: JobMount[] = []
  readonly #env: Record<string, string> = {}
  readonly #releases: (() => Promise<void>)[] = []
  #secrets: string | undefined

  constructor(session: RunSession, places: MountPlaces, ctx: Context) {
    this.#session = session
    this.#places = places
    this.#ctx = ctx
  }

  result(): LaidMounts {
    // A mount over another's parent must come first.
    const mounts = [...this.#mounts].sort((a, b) => depth(a.target) - depth(b.target))
    return { mounts, env: this.#env, release: () => this.release() }
  }

  async release(): Promise<void> {
    for (const end of this.#releases.splice(0)) await end()
  }

  async lay(open: OpenMount, name: string): Promise<void> {
    switch (open.type) {
      case 'tmpfs':
        return void this.#mounts.push({
          kind: 'tmpfs',
          target: this.#places.place(open.mount.target),
          size: open.mount.size,
        })
      case 'bind': {
        const directory = join(this.#places.directory, name)
        await this.#session.lay(open.content.content, directory, this.#ctx)
        return this.#bind(directory, open.mount.target, open.content.type, !open.mount.writable)
      }
      case 'cache':
        return await this.#layCache(open)
      case 'secret':
        return await this.#laySecret(open, name)
    }
  }

  async #layCache({ mount, content }: Extract<OpenMount, { type: 'cache' }>): Promise<void> {
    const cache = await openCache(this.#places.home, mount, this.#session.owners, this.#ctx)
    this.#releases.push(() => cache.release())
    const empty = { tree: emptyDirectory(mount), read: () => (async function* () {})() }
    if (cache.isNew) await this.#session.lay(content?.content ?? empty, cache.directory, this.#ctx)
    this.#bind(cache.directory, mount.target, 'directory', !mount.writable)
  }

  async #laySecret({ mount, secret }: Extract<OpenMount, { type: 'secret' }>, name: string): Promise<void> {
    if (secret === undefined) return
    if (mount.env !== undefined) this.#env[mount.env] = secret.toString('utf8')
    if (mount.target === undefined) return
    const directory = join(await this.#secretDirectory(), name)
    await this.#session.lay(secretFile(secret, mount), directory, this.#ctx)
    this.#bind(directory, mount.target, 'file', true)
  }

  async #secretDirectory(): Promise<string> {
    if (this.#secrets !== undefined) return this.#secrets
    const directory = await makeSecretDirectory(this.#places.directory)
    this.#releases.push(() => removeWorkspace(directory))
    return (this.#secrets = directory)
  }

  #bind(directory: string, target: string, type: 'file' | 'directory', isReadonly: boolean): void {
    const source = join(directory, mountName)
    this.#mounts.push({ kind: 'bind', source, target: this.#places.place(target), type, readonly: isReadonly })
  }
}

function depth(path: string): number {
  return path.split('/').length
}

async function makeSecretDirectory(otherwise: string): Promise<string> {
  const isMemory = (await lstatIfPresent(secretPlaces))?.isDirectory() === true
  if (isMemory) return await mkdtemp(join(secretPlaces, `cloudimg-secret-${ownIdentity()}.`))
  const directory = join(otherwise, 'secrets')
  await mkdir(directory, { recursive: true, mode: 0o700 })
  return directory
}

function secretFile(
  bytes: Buffer,
  { mode, uid, gid }: { readonly mode: number; readonly uid: number; readonly gid: number },
): ReadableTree {
  const tree = new BuildTree()
  tree.put({ type: 'file', path: mountName, mode, uid, gid, size: bytes.length, content: { from: 'memory', bytes } })
  return {
    tree,
    read: () =>
      (async function* () {
        yield bytes
      })(),
  }
}
