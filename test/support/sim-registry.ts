import { isDigest } from '../../src/core/digest.ts'
import { CloudimgError } from '../../src/core/error.ts'
import type { RegistryEntry } from '../../src/deploy/registry/open-registry.ts'
import type { Repository } from '../../src/deploy/registry/registry-end.ts'
import { mediaTypes } from '../../src/oci/descriptor.ts'
import { memoryEnd, type MemoryEnd } from './memory-end.ts'
import type { SimWorld } from './sim-world.ts'

/** A registry that somebody runs: what it has, and whom it lets in. */
export class SimRegistry {
  readonly repositories = new Map<string, MemoryEnd>()
  /** Everybody unless told. */
  login: { readonly username: string; readonly password: string } | undefined

  clone(): SimRegistry {
    const registry = new SimRegistry()
    registry.login = this.login
    for (const [name, end] of this.repositories) {
      const copy = registry.repository(name)
      for (const [digest, bytes] of end.blobs) copy.blobs.set(digest, bytes)
      for (const [tag, target] of end.names) copy.names.set(tag, target)
    }
    return registry
  }

  repository(name: string): MemoryEnd {
    const end = this.repositories.get(name) ?? memoryEnd()
    this.repositories.set(name, end)
    return end
  }

  /** `REPOSITORY:TAG DIGEST`. */
  contents(): readonly string[] {
    return [...this.repositories]
      .flatMap(([name, { names }]) => [...names].map(([tag, { digest }]) => `${name}:${tag} ${digest}`))
      .sort()
  }
}

/** A repository as the product opens it; every call is one of the world's. */
export function simRepository(world: SimWorld, { url, repository, credentials }: RegistryEntry): Repository {
  const enter = async <T>(work: (end: MemoryEnd) => Promise<T>): Promise<T> => {
    const shown = await credentials.find(new URL(url).host, repository, undefined!)
    return await world.effect(async () => {
      const { registry } = world
      if (registry === undefined) throw new CloudimgError('NETWORK', `contacting "${url}": connection refused`)
      const { login } = registry
      const isIn = shown?.kind === 'basic' && shown.username === login?.username && shown.password === login.password
      if (login !== undefined && !isIn)
        throw new CloudimgError('REGISTRY_AUTH', `contacting "${url}": authentication required`)
      return await work(registry.repository(repository))
    })
  }
  return {
    has: async (blob, ctx) => await enter(end => end.has(blob, ctx)),
    open: async (blob, ctx, range) => await enter(end => end.open(blob, ctx, range)),
    write: async (expected, source, ctx) => await enter(end => end.write(expected, source, ctx)),
    tag: async (name, target, ctx) => await enter(end => end.tag(name, target, ctx)),
    referrers: () => Promise.resolve([]),
    resolve: async (name, ctx) =>
      await enter(async end => {
        if (!isDigest(name)) return await end.resolve(name, ctx)
        const bytes = end.blobs.get(name)
        return bytes && { mediaType: mediaTypes.manifest, digest: name, size: bytes.length }
      }),
  }
}
