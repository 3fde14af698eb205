import type { Context } from '../../core/context.ts'
import { anonymous, type Credential, type Credentials } from '../../oci/remote/credential.ts'
import { systemCredentials } from '../../oci/remote/credentials.ts'
import { remoteRepository } from '../../oci/remote/registry.ts'
import { splitRegistryUrl } from '../../runtime/registry-url.ts'
import type { Cluster } from '../../runtime/runtime.ts'
import type { Holes } from '../holes.ts'
import type { Rootfs } from '../rootfs.ts'
import { RegistryEnd, type Repository } from './registry-end.ts'

/** How a registry is entered. */
export interface RegistryEntry {
  readonly url: string
  readonly repository: string
  readonly credentials: Credentials
  /** PEM. */
  readonly authority: string | undefined
}

/** For `Ends`: the real registry. It is asked twice before it counts as silent: the user waits. */
export function openRepository({ url, repository, credentials, authority }: RegistryEntry): Repository {
  return remoteRepository(
    { registry: splitRegistryUrl(url).host, repository },
    {
      credentials,
      insecure: url.startsWith('http:'),
      retry: { attempts: 2, delayMs: 500 },
      ...(authority === undefined ? {} : { authority }),
    },
  )
}

/** Undefined where the cluster has no registry of a URL. Nothing is asked yet. */
export function registryEnd(
  { registry }: Pick<Cluster, 'registry'>,
  rootfs: readonly Rootfs[],
  holes: Holes,
  open: (entry: RegistryEntry) => Repository,
): RegistryEnd | undefined {
  if (registry.mode !== 'url') return undefined
  const { url, username, hasAuthority } = registry
  let nodes: Credentials | undefined
  const asNode = async (ctx: Context): Promise<Credentials> =>
    (nodes ??=
      username === undefined
        ? { ...anonymous }
        : only({ kind: 'basic', username, password: unescaped(await holes.value('registry-password', ctx)) }))
  return new RegistryEnd({
    url,
    rootfs,
    open: async (repository, as, ctx) => {
      const own = await asNode(ctx)
      const credentials = as === 'node' ? own : firstOf(systemCredentials(), own)
      const authority = hasAuthority ? await holes.value('registry-ca', ctx) : undefined
      return open({ url, repository, credentials, authority })
    },
  })
}

function only(credential: Credential): Credentials {
  return { find: () => Promise.resolve(credential) }
}

const chains = new WeakMap<Credentials, Credentials>()

/** The operator's own login, else that of the nodes. One value each, so that tokens are shared. */
function firstOf(first: Credentials, second: Credentials): Credentials {
  const chain: Credentials = chains.get(second) ?? {
    find: async (registry, repository, ctx) =>
      (await first.find(registry, repository, ctx)) ?? (await second.find(registry, repository, ctx)),
  }
  chains.set(second, chain)
  return chain
}

function unescaped(value: string): string {
  return JSON.parse(`"${value}"`) as string
}
