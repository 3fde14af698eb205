import { isIPv6 } from 'node:net'
import { splitRegistryUrl } from '../registry-url.ts'
import type { Cluster, PlannedNode, Registry } from '../runtime.ts'
import { type Content, hole } from '../step.ts'
import { registryPaths, registryPort } from './registry-paths.ts'

const headline = '# Written by cloudimg and owned whole: change the cluster with cloudimg, not here.\n'

/**
 * The whole of a node's registries.yaml; undefined where it has none. Every registry that an image of the bundle is named by has a
 * mirror, and no other (facts/k3s.md §5.1). JSON's strings and lists are YAML as they stand.
 */
export function renderRegistries(node: PlannedNode, cluster: Cluster): Content | undefined {
  const { registry, registryHosts } = cluster
  if (registry.mode === 'none') return undefined
  const mirrors = registryHosts.flatMap(host => [`  ${text(host)}:\n`, ...mirrorOf(host, node, cluster)])
  return merged([
    headline,
    `# registry: ${registry.mode === 'url' ? `url ${registry.url}` : registry.mode}\n`,
    ...(mirrors.length === 0 ? ['mirrors: {}\n'] : ['mirrors:\n', ...mirrors]),
    ...configsOf(node, cluster),
  ])
}

/** What the first lines of a registries.yaml say, and whom it logs in as. Undefined where cloudimg did not write it. */
export function readRegistries(registries: string | undefined): Registry | undefined {
  if (registries?.startsWith(headline) !== true) return undefined
  const [, mode, url] = /^# registry: (embedded|managed|url)(?: (\S+))?$/m.exec(registries) ?? []
  if (mode === 'embedded' || mode === 'managed') return { mode }
  if (url === undefined) return undefined
  const username = /^ {6}username: (".*")$/m.exec(registries)?.[1]
  const hasAuthority = registries.includes('\n      ca_file: ')
  return {
    mode: 'url',
    url,
    hasAuthority,
    ...(username === undefined ? {} : { username: JSON.parse(username) as string }),
  }
}

/** As facts show it. */
export function hidePasswords(registries: string): string {
  return registries.replaceAll(/^( *password):.*$/gm, '$1: (hidden)')
}

/** As it stands there, in JSON's escapes: that is how the hole of it is filled. What others wrote is none of ours. */
export function findPassword(registries: string): string | undefined {
  if (readRegistries(registries)?.mode !== 'url') return undefined
  return /^ {6}password: "((?:[^"\\]|\\.)*)"$/m.exec(registries)?.[1]
}

/** Where the registry of a server has what a registry is named for: their repositories may have equal names. */
export function managedPrefix(registryHost: string): string {
  return registryHost.toLowerCase().replace(':', '_')
}

/** `10.0.0.1:5443`, as endpoints and configs name it. */
export function managedHost(address: string): string {
  return `${isIPv6(address) ? `[${address}]` : address}:${registryPort}`
}

/** The servers that a node asks: those that it was told, while they are servers; itself first. */
export function managedServers(node: PlannedNode, { servers }: Cluster): readonly string[] {
  const told = [...(node.facts.k3s.registries ?? '').matchAll(/https:\/\/\[?([^/\]"]+?)\]?:5443\//g)].map(
    ([, address]) => address!,
  )
  const kept = [...new Set(told)].filter(address => servers.includes(address))
  const known = kept.length === 0 ? servers : kept
  return [...known.filter(address => address === node.address), ...known.filter(address => address !== node.address)]
}

function mirrorOf(host: string, node: PlannedNode, cluster: Cluster): readonly string[] {
  const { registry } = cluster
  switch (registry.mode) {
    case 'managed': {
      const endpoints = managedServers(node, cluster).map(
        address => `https://${managedHost(address)}/v2/${managedPrefix(host)}`,
      )
      return [`    endpoint: ${JSON.stringify(endpoints)}\n`]
    }
    case 'url': {
      const { prefix, origin, host: own } = splitRegistryUrl(registry.url)
      const rewrite = prefix === '' || host === own ? [] : [`    rewrite:\n      "^(.*)$": ${text(`${prefix}/$1`)}\n`]
      return [`    endpoint: ${JSON.stringify([origin])}\n`, ...rewrite]
    }
    default:
      // Its being a key is what lets the registry be shared (facts/k3s.md §5.3).
      return []
  }
}

function configsOf(node: PlannedNode, cluster: Cluster): Content {
  const { registry } = cluster
  if (registry.mode === 'managed') {
    const { authority, clientCertificate, clientKey } = registryPaths
    return managedServers(node, cluster).flatMap((address, index) => [
      `${index === 0 ? 'configs:\n' : ''}  ${text(managedHost(address))}:\n    tls:\n`,
      `      ca_file: ${text(authority)}\n      cert_file: ${text(clientCertificate)}\n      key_file: ${text(clientKey)}\n`,
    ])
  }
  if (registry.mode !== 'url' || (registry.username === undefined && !registry.hasAuthority)) return []
  const { username, hasAuthority, url } = registry
  const login =
    username === undefined
      ? []
      : [`    auth:\n      username: ${text(username)}\n      password: "`, hole('registry-password'), '"\n']
  const trust = hasAuthority ? [`    tls:\n      ca_file: ${text(registryPaths.authority)}\n`] : []
  return [`configs:\n  ${text(splitRegistryUrl(url).host)}:\n`, ...login, ...trust]
}

function text(value: string): string {
  return JSON.stringify(value)
}

/** Fewer parts: pieces of text side by side are one. */
function merged(content: Content): Content {
  return content.reduce<Content>((parts, part) => {
    const last = parts.at(-1)
    return typeof last === 'string' && typeof part === 'string'
      ? [...parts.slice(0, -1), last + part]
      : [...parts, part]
  }, [])
}
