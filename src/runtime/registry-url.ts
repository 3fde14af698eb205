/** `https://registry.example:5000/prefix` in its parts. */
export function splitRegistryUrl(url: string): {
  readonly origin: string
  readonly host: string
  /** Without slashes at its ends; empty where there is none. */
  readonly prefix: string
} {
  const { protocol, host, pathname } = new URL(url)
  return { origin: `${protocol}//${host}`, host, prefix: pathname.replaceAll(/^\/+|\/+$/g, '') }
}

/** The name of a repository there: the registry's own names are as they are, those of others stand below its prefix. */
export function repositoryAt(url: string, registryHost: string, repository: string): string {
  const { prefix, host } = splitRegistryUrl(url)
  return prefix === '' || registryHost === host ? repository : `${prefix}/${repository}`
}
