import type { ConfigValue } from '../runtime.ts'

/**
 * What servers compare with the values of the first one, and what is written into the datastore, with what k3s takes where
 * nothing is said (facts/k3s.md §6.2): decided when a cluster is made.
 */
const decided: Readonly<Record<string, ConfigValue>> = {
  'cluster-cidr': '10.42.0.0/16',
  'service-cidr': '10.43.0.0/16',
  'cluster-dns': '10.43.0.10',
  'cluster-domain': 'cluster.local',
  'flannel-backend': 'vxlan',
  'flannel-external-ip': false,
  'flannel-ipv6-masq': false,
  'egress-selector-mode': 'agent',
  'disable-cloud-controller': false,
  'disable-helm-controller': false,
  'disable-kube-proxy': false,
  'disable-network-policy': false,
  'embedded-registry': false,
  'secrets-encryption': false,
  'supervisor-metrics': false,
}

/** What a node is known by; etcd and the certificates of a server hang on its address too. */
const identity: Readonly<Record<'server' | 'agent', readonly string[]>> = {
  server: ['node-name', 'node-ip', 'advertise-address'],
  agent: ['node-name'],
}

export interface FixedKey {
  readonly key: string
  readonly was: string
  readonly shall: string
}

type Entries = ReadonlyMap<string, ConfigValue>

/** Keys that no restart may change, of those that differ. Pure. */
export function fixedKeys(role: 'server' | 'agent', before: Entries, after: Entries): readonly FixedKey[] {
  const names = [...identity[role], ...(role === 'server' ? Object.keys(decided) : [])]
  const changed = names.flatMap((key): readonly FixedKey[] => {
    const [was, shall] = [before, after].map(entries => shown(valueOf(entries, key) ?? decided[key]))
    return was === shall || was === undefined || shall === undefined ? [] : [{ key, was, shall }]
  })
  return role === 'agent' || hasServiceBalancer(before) === hasServiceBalancer(after)
    ? changed
    : [
        ...changed,
        { key: 'disable: servicelb', was: `${!hasServiceBalancer(before)}`, shall: `${!hasServiceBalancer(after)}` },
      ]
}

function valueOf(entries: Entries, key: string): ConfigValue | undefined {
  return entries.get(key) ?? entries.get(`${key}+`)
}

/** Lists of one and their element mean the same to k3s; so do texts and numbers. */
function shown(value: ConfigValue | undefined): string | undefined {
  return value === undefined ? undefined : [value].flat().join(',')
}

/** Of `disable`, this alone must be alike on all servers. */
function hasServiceBalancer(entries: Entries): boolean {
  const disabled = shown(valueOf(entries, 'disable')) ?? ''
  return !disabled.split(',').includes('servicelb')
}
