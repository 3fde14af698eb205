import { isIPv6 } from 'node:net'
import { CloudimgError } from '../../core/error.ts'
import type { Cluster, ConfigMap, ConfigValue, PlannedNode } from '../runtime.ts'
import { type Content, type Hole, hole } from '../step.ts'
import { isReservedKey } from './reserved-keys.ts'
import { standingOf } from './standing.ts'

/** Keys that only some versions know; k3s before 1.2x stops at an unknown one. The names are those of rootfs.yaml. */
const keysByFeature: Readonly<Record<string, string>> = {
  'embedded-registry': 'embedded-registry',
  'disable-default-registry-endpoint': 'disable-default-registry-endpoint',
}

/** The whole of a node's config.yaml, tokens as holes. Pure. @throws CLUSTERFILE_INVALID for a key that may not or cannot be set. */
export function renderConfig(node: PlannedNode, cluster: Cluster, via?: PlannedNode): Content {
  const own = node.role === 'server' ? serverKeys(node, cluster, via) : agentKeys(node, cluster, via)
  const extra = { ...registryKeys(node, cluster), ...cluster.config[node.role] }
  for (const key of Object.keys(extra)) refuseKey(key, node.role, cluster)
  return [
    '# Written by cloudimg and owned whole: change the cluster with cloudimg, not here.\n',
    ...own.flatMap(([key, value]) => line(key, value)),
    ...addressKeys(node).flatMap(([key, value]) => line(key, value)),
    ...sorted(extra).flatMap(([key, value]) => line(key, value)),
  ]
}

type Entry = readonly [string, ConfigValue | Hole]

function serverKeys(node: PlannedNode, cluster: Cluster, via: PlannedNode | undefined): readonly Entry[] {
  return [
    ...standingKeys(node, cluster, via),
    ['token', hole('token')],
    ['agent-token', hole('agent-token')],
    ['advertise-address', node.address],
    ['tls-san', [...new Set([...hostNames(node), node.address, ...cluster.tlsSans])]],
    ['write-kubeconfig-mode', '0600'],
  ]
}

/** Among the user's own keys, so that a server that has them and one that is given them have the same text. */
function registryKeys({ role, facts }: PlannedNode, { registry, hasFeature }: Cluster): ConfigMap {
  if (registry.mode === 'none') return {}
  const { config } = facts.k3s
  // What a node has stays: a version that knows more keys than the one it was made with is no reason for a restart.
  const isGiven = (key: string): boolean =>
    hasFeature(key) && (config === undefined || facts.cloudimg.node === undefined || config.includes(`\n${key}: `))
  return {
    // Offline, the registry that a name begins with is nobody to ask (facts/k3s.md §5.1).
    ...(isGiven('disable-default-registry-endpoint') ? { 'disable-default-registry-endpoint': true } : {}),
    ...(registry.mode === 'embedded' && role === 'server' && isGiven('embedded-registry')
      ? { 'embedded-registry': true }
      : {}),
  }
}

/** How a server has its place in the cluster. Where it has one already, that stays as it is. */
function standingKeys(node: PlannedNode, cluster: Cluster, via: PlannedNode | undefined): readonly Entry[] {
  if (cluster.datastore === 'external') return [['datastore-endpoint', hole('datastore-endpoint')]]
  const standing = standingOf(node)
  if (standing === undefined) {
    if (via !== undefined) return [['server', apiUrl(via.address)]]
    return cluster.datastore === 'etcd' ? [['cluster-init', true]] : []
  }
  if (standing.joins !== undefined) return [['server', joinUrl(standing.joins, cluster, via)]]
  return cluster.datastore === 'etcd' ? [['cluster-init', true]] : []
}

function agentKeys(node: PlannedNode, cluster: Cluster, via: PlannedNode | undefined): readonly Entry[] {
  const joins = standingOf(node)?.joins
  if (joins === undefined && via === undefined) throw new CloudimgError('BUG', 'rendering an agent: no server to join')
  return [
    ['server', joins === undefined ? apiUrl(via!.address) : joinUrl(joins, cluster, via)],
    ['token', hole('agent-token')],
  ]
}

/** The address that a node was told to join, while there is such a server: another one would mean a restart for nothing. */
function joinUrl(joins: string, cluster: Cluster, via: PlannedNode | undefined): string {
  return via === undefined || cluster.servers.some(address => apiUrl(address) === joins) ? joins : apiUrl(via.address)
}

function addressKeys(node: PlannedNode): readonly Entry[] {
  return [
    ['node-name', node.name],
    ['node-ip', node.address],
    ['flannel-iface', node.interface],
  ]
}

export function apiUrl(address: string): string {
  return `https://${isIPv6(address) ? `[${address}]` : address}:6443`
}

/** The name by which the operator reaches the machine belongs into its certificate. */
function hostNames(node: PlannedNode): readonly string[] {
  const bare = node.host.replace(/^\[(.*)\](?::\d+)?$/, '$1')
  const host = isIPv6(bare) ? bare : bare.replace(/:\d+$/, '')
  return host === 'localhost' ? [] : [host]
}

function refuseKey(key: string, role: string, cluster: Cluster): void {
  if (isReservedKey(key)) {
    throw new CloudimgError(
      'CLUSTERFILE_INVALID',
      `configuring a k3s ${role}: the key "${key}" is set by cloudimg itself`,
      {
        hint: `remove "${key}"`,
        data: { key },
      },
    )
  }
  const feature = keysByFeature[key.replace(/\+$/, '')]
  if (feature !== undefined && !cluster.hasFeature(feature)) {
    throw new CloudimgError(
      'CLUSTERFILE_INVALID',
      `configuring a k3s ${role}: ${cluster.version ?? 'this k3s'} does not know the key "${key}"`,
      {
        hint: `remove "${key}", or use an image with a newer k3s`,
        data: { key, version: cluster.version ?? '' },
      },
    )
  }
}

function sorted(map: ConfigMap): readonly [string, ConfigValue][] {
  return Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1))
}

// JSON's strings, numbers and lists are YAML as they stand.
function line(key: string, value: ConfigValue | Hole): Content {
  if (isHole(value)) return [`${key}: "`, value, '"\n']
  return [`${key}: ${JSON.stringify(value)}\n`]
}

function isHole(value: ConfigValue | Hole): value is Hole {
  return typeof value === 'object' && 'hole' in value
}

export type Secret = 'token' | 'agent-token' | 'datastore-endpoint'

/** The value of a secret key, as `renderConfig` writes it. */
export function findSecret(text: string, key: Secret): string | undefined {
  return new RegExp(`^${key}: "([^"\\n]+)"$`, 'm').exec(text)?.[1]
}

/** A config as facts show it: secrets hidden, the rest as it is. */
export function hideSecrets(text: string): string {
  return text.replaceAll(/^([a-z-]*token[a-z-]*|datastore-endpoint):.*$/gm, '$1: (hidden)')
}
