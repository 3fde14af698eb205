import { digestOf } from '../../src/core/digest.ts'
import type { SituatedNode } from '../../src/deploy/situation.ts'
import { type HostFacts, parseFacts } from '../../src/host/facts.ts'
import type { Cluster } from '../../src/runtime/runtime.ts'

/** A machine that nothing speaks against; `lines` are further facts, as the script prints them. */
export function sampleFacts(lines: readonly string[] = [], number = 1): HostFacts {
  const facts = [
    'system=Linux',
    'machine=x86_64',
    'kernel=6.1.0',
    'init=systemd',
    'time=1000',
    'cpus=4',
    'memory-kib=8000000',
    'cgroup=2',
    'controllers=cpu cpuset memory pids',
    'route=default via 10.0.0.254 dev eth0',
    ...(lines.some(line => line.startsWith('nameserver=')) ? [] : ['nameserver=10.0.0.53']),
    ...['/var/lib/cloudimg', '/var/lib/rancher', '/usr/local/bin'].map(path => `disk=${path} 90000000 1000000 rw`),
    ...(lines.some(line => line.startsWith('hostname=')) ? [] : [`hostname=node${number}`]),
    ...(lines.some(line => line.startsWith('address=')) ? [] : [`address=eth0 10.0.0.${number}/24`]),
    ...(lines.some(line => line.startsWith('machine-id=')) ? [] : [`machine-id=m${number}`]),
  ]
  return parseFacts([...lines, ...facts].join('\n'), `10.0.0.${number}`, 1000)
}

const files = new Map(
  ['bin/k3s', 'images/k3s-airgap-images-amd64.tar.zst', 'scripts/cloudimg-node', 'scripts/k3s-install.sh'].map(path => [
    path,
    { digest: digestOf(path), size: 100 },
  ]),
)

export function sampleNode(more: Partial<SituatedNode> = {}, number = 1): SituatedNode {
  const digest = digestOf('rootfs')
  return {
    host: `10.0.0.${number}`,
    name: `node${number}`,
    role: number === 1 ? 'server' : 'agent',
    address: `10.0.0.${number}`,
    interface: 'eth0',
    facts: sampleFacts([], number),
    rootfs: { directory: `/var/lib/cloudimg/rootfs/${digest.slice(7)}`, digest, files },
    tree: [...files].map(([path, file]) => ({
      type: 'file',
      path,
      mode: 0o644,
      ...file,
      open: () => Promise.reject(new Error('read')),
    })),
    present: new Map(),
    staged: false,
    ...more,
  }
}

export const sampleCluster: Cluster = {
  id: 'c-1',
  version: 'v1.31.4+k3s1',
  hasFeature: () => false,
  tlsSans: [],
  config: { server: {}, agent: {} },
  datastore: 'sqlite',
  registry: { mode: 'none' },
  registryHosts: ['docker.io'],
  servers: ['10.0.0.1'],
  timeoutSeconds: 900,
}
