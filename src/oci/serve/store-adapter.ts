import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { isCloudimgError } from '../../core/error.ts'
import { parseReference, type Reference } from '../../core/reference.ts'
import { compareBytes } from '../../io/files.ts'
import type { Descriptor } from '../descriptor.ts'
import type { Store } from '../store/store.ts'
import { Deletions } from './deletions.ts'
import type { ServedName, ServeStore } from './serve-store.ts'

/**
 * The local store as the embedded registry sees it. `HOST/r/x:tag` is the store's name of that very text. An image named
 * for another registry can be pulled by its full name behind the host, `HOST/registry.local/k3s:tag`, and by mirrors that
 * say which registry they stand for.
 */
export function serveStore(store: Store): ServeStore {
  const deletions = new Deletions(store.layout.home)
  return {
    sizeOf: digest => store.sizeOf(digest),
    open: async (digest, size, ctx, range) => await store.open(blob(digest, size), ctx, range),
    ingest: async (body, expected, ctx) => await store.ingest(body, blobType, ctx, expected),
    resolve: (name, tag, ctx) => resolve(store, name, tag, ctx),
    tag: async (name, tag, target, ctx) => await store.tag(`${name.host}/${name.repository}:${tag}`, target, ctx),
    untag: async (name, tag) => await store.untag(parseReference(`${name.host}/${name.repository}:${tag}`)),
    tags: async name => await tags(store, name),
    repositories: async host => await repositories(store, host),
    isDeleted: async (name, digest) => await deletions.has(name, digest),
    setDeleted: async (name, digest, deleted) => await deletions.set(name, digest, deleted),
    referrers: async (subject, ctx) => await store.referrers(subject, ctx),
    addReferrer: async relation => await store.addReferrer(relation),
  }
}

const blobType = 'application/octet-stream'

function blob(digest: Digest, size: number): Descriptor {
  return { mediaType: blobType, digest, size }
}

/** The full names that a served name may stand for, the nearest first. */
function candidates({ host, repository }: ServedName): readonly Reference[] {
  const first = repository.slice(0, repository.indexOf('/'))
  const names = [`${host}/${repository}`, ...(first.includes('.') || first === 'localhost' ? [repository] : [])]
  return names.flatMap(name => {
    try {
      return [parseReference(name)]
    } catch (error) {
      if (isCloudimgError(error)) return []
      throw error
    }
  })
}

async function resolve(store: Store, name: ServedName, tag: string, ctx: Context): Promise<Descriptor | undefined> {
  for (const { registry, repository } of candidates(name)) {
    const target = await store.resolve(`${registry}/${repository}:${tag}`, ctx)
    if (target !== undefined) return target
  }
  return undefined
}

async function tags(store: Store, name: ServedName): Promise<readonly string[]> {
  const refs = (await store.refs()).map(ref => parseReference(ref.name))
  for (const { registry, repository } of candidates(name)) {
    const found = refs.flatMap(ref =>
      ref.registry === registry && ref.repository === repository && ref.tag !== undefined ? [ref.tag] : [],
    )
    if (found.length > 0) return found.sort(compareBytes)
  }
  return []
}

// Names of other registries are listed as they can be pulled here; a port has no place in a repository's path.
async function repositories(store: Store, host: string): Promise<readonly string[]> {
  const refs = (await store.refs()).map(ref => parseReference(ref.name))
  const paths = refs.flatMap(({ registry, repository }) => {
    if (registry === host) return [repository]
    return registry.includes(':') ? [] : [`${registry}/${repository}`]
  })
  return [...new Set(paths)].sort(compareBytes)
}
