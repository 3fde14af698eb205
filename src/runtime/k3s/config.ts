import { isIPv6 } from 'node:net'
import { CloudimgError } from '../../core/error.ts'
import type { Cluster, ConfigMap, ConfigValue, PlannedNode } from '../runtime.ts'
import { type Content, type Hole, hole } from '../step.ts'

/** What cloudimg decides alone (DEPLOY.md, "k3s rules: Config"); a trailing `*` stands for any ending. */
const reserved: readonly string[] = [
  'token*',
  'agent-token*',
  'server',
  'cluster-init',
  'datastore-*',
  'node-name',
  'node-ip',
  'data-dir',
  'docker',
  'advertise-address',
  'flannel-iface',
  'tls-san',
  'write-kubeconfig*',
]

/** Keys that only some versions know; k3s before 1.2x stops at an unknown one. The names are those of rootfs.yaml. */
const keysByFeature: Readonly<Record<string, string>> = {
  'embedded-registry': 'embedded-registry',
  'disable-default-registry-endpoint': 'disable-default-registry-endpoint',
}

export function isReservedKey(key: string): boolean {
  const bare = key.replace(/\+$/, '')
  return reserved.some(name => (name.endsWith('*') ? bare.startsWith(name.slice(0, -1)) : bare === name))
}

/** The whole of a node's config.yaml, tokens as holes. Pure. @throws CLUSTERFILE_INVALID for a key that may not or cannot be set. */
export function renderConfig(node: PlannedNode, cluster: Cluster, via?: PlannedNode): Content {
  const own = node.role === 'server' ? serverKeys(node, cluster) : agentKeys(via)
  const extra = cluster.config[node.role]
  for (const key of Object.keys(extra)) refuseKey(key, node.role, cluster)
  return [
    '# Written by cloudimg and owned whole: change the cluster with cloudimg, not here.\n',
    ...own.flatMap(([key, value]) => line(key, value)),
    ...addressKeys(node).flatMap(([key, value]) => line(key, value)),
    ...sorted(extra).flatMap(([key, value]) => line(key, value)),
  ]
}

type Entry = readonly [string, ConfigValue | Hole]

function serverKeys(node: PlannedNode, cluster: Cluster): readonly Entry[] {
  return [
    ['token', hole('token')],
    ['agent-token', hole('agent-token')],
    ['advertise-address', node.address],
    ['tls-san', [...new Set([...hostNames(node), node.address, ...cluster.tlsSans])]],
    ['write-kubeconfig-mode', '0600'],
  ]
}

function agentKeys(via: PlannedNode | undefined): readonly Entry[] {
  if (via === undefined) throw new CloudimgError('BUG', 'rendering an agent: no server to join')
  return [
    ['server', apiUrl(via.address)],
    ['token', hole('agent-token')],
  ]
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

/** The value of a token key, as `renderConfig` writes it. */
export function findToken(text: string, key: 'token' | 'agent-token'): string | undefined {
  return new RegExp(`^${key}: "([^"\\n]+)"$`, 'm').exec(text)?.[1]
}

/** A config as facts show it: values of tokens hidden, the rest as it is. */
export function hideTokens(text: string): string {
  return text.replaceAll(/^([a-z-]*token[a-z-]*):.*$/gm, '$1: (hidden)')
}
