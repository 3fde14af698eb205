/** How docker names Docker Hub in its configuration and towards credential helpers. */
export const dockerHubKey = 'https://index.docker.io/v1/'

/** The key under which docker stores what belongs to a registry. */
export function credentialKey(registry: string): string {
  return registry === 'docker.io' ? dockerHubKey : registry
}

/** A key of `auths` as `host` or `host/path`: older programs wrote URLs, and Docker Hub has several names. */
export function normaliseKey(key: string): string {
  const bare = key
    .replace(/^https?:\/\//, '')
    .replace(/\/+$/, '')
    .replace(/\/v[12]$/, '')
  return bare.replace(/^(?:index\.docker\.io|registry-1\.docker\.io)(?=\/|$)/, 'docker.io')
}

/** The key that fits a repository best: the longest prefix of `registry/repository` by whole components. */
export function bestKey(keys: Iterable<string>, registry: string, repository: string): string | undefined {
  const name = repository === '' ? registry : `${registry}/${repository}`
  let best: string | undefined
  for (const key of keys) {
    const prefix = normaliseKey(key)
    if (name !== prefix && !name.startsWith(`${prefix}/`)) continue
    if (best === undefined || prefix.length > normaliseKey(best).length) best = key
  }
  return best
}
