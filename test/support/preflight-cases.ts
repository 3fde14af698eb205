import { digestOf } from '../../src/core/digest.ts'
import { runAction } from '../../src/deploy/actions/run.ts'
import type { PlanInput } from '../../src/deploy/plan.ts'
import type { SituatedNode } from '../../src/deploy/situation.ts'
import type { RegistryAnswer } from '../../src/deploy/registry/ask-registry.ts'
import type { Finding } from '../../src/runtime/finding.ts'
import { k3s } from '../../src/runtime/k3s/k3s.ts'
import type { Cluster, Registry } from '../../src/runtime/runtime.ts'
import { sampleCluster, sampleFacts, sampleNode } from './sample-node.ts'

/** What `run` would find on these machines. */
export function findingsOf(nodes: readonly SituatedNode[], more: Partial<PlanInput> = {}): readonly Finding[] {
  const [first, ...rest] = nodes
  const input: PlanInput = {
    image: { reference: 'k3s', digest: digestOf('index') },
    cluster: sampleCluster,
    runtime: k3s,
    nodes: [first!, ...rest],
    leaving: [],
    forgotten: [],
    members: [],
    fixes: [],
    launch: [],
    wishes: {},
    ...more,
  }
  return runAction.judges.flatMap(judge => judge(input))
}

function withFacts(...lines: readonly string[]): SituatedNode {
  const facts = sampleFacts(lines)
  return sampleNode({ facts, name: facts.hostname.toLowerCase() })
}

const seen =
  (...lines: readonly string[]) =>
  (): readonly Finding[] =>
    findingsOf([withFacts(...lines)])

const record = (more: object): string =>
  `node=${JSON.stringify({ v: 1, cluster: 'c-1', role: 'server', digest: sampleNode().rootfs.digest, ...more })}`

const registries = '# Written by cloudimg and owned whole: change the cluster with cloudimg, not here.'
const url = { mode: 'url', url: 'https://hub.example', hasAuthority: false } as const

/** On a cluster that shall have this registry. */
const withRegistry =
  (registry: Registry, more: Partial<PlanInput> = {}, cluster: Partial<Cluster> = {}) =>
  (): readonly Finding[] =>
    findingsOf([sampleNode(), sampleNode({}, 2)], { cluster: { ...sampleCluster, registry, ...cluster }, ...more })

/** A registry of a URL that says this. */
const answering = (more: Partial<RegistryAnswer>): (() => readonly Finding[]) => {
  const answer = { state: 'answered', why: '', missing: [], collisions: [], unreaching: [], ...more } as const
  return withRegistry(url, { registry: answer }, { hasFeature: () => true })
}

const arm = { ...sampleFacts([], 2), platform: { os: 'linux', arch: 'arm64' } } as const

const bare = sampleNode({ facts: { ...sampleFacts(), defaultRoutes: [] } })
const member = {
  name: 'node1',
  role: 'server',
  address: '',
  ready: false,
  version: '',
  reason: '',
  voter: undefined,
} as const

/** For every finding one machine, or a few, that have it: the tests hold them against the judges, the page is made from them. */
export const redCases: Readonly<Record<string, () => readonly Finding[]>> = {
  init: seen('init=openrc'),
  tools: seen('missing=tar'),
  hostname: seen('hostname=localhost'),
  resources: seen('memory-kib=1000000'),
  disk: seen('disk=/var/lib/rancher 1000 90000 rw'),
  inodes: seen('disk=/var/lib/rancher 90000000 10 rw'),
  noexec: seen('disk=/usr/local/bin 90000000 90000 rw,noexec'),
  cgroups: seen('controllers=cpu'),
  'cgroup-v1': () =>
    findingsOf([withFacts('cgroup=1', 'controllers=cpu cpuacct memory')], {
      cluster: { ...sampleCluster, version: 'v1.35.0+k3s1' },
    }),
  clock: seen('time=2000'),
  apparmor: seen('apparmor=no-parser'),
  selinux: seen('selinux=Enforcing'),
  fapolicyd: seen('service=fapolicyd'),
  firewall: seen('service=firewalld'),
  'other-kubernetes': seen('service=kubelet'),
  'nm-cloud-setup': seen('service=nm-cloud-setup.timer'),
  ports: seen('tcp=00000000:192B'),
  'web-ports': seen('tcp=00000000:01BB'),
  nameservers: seen('nameserver=127.0.0.53'),
  'kernel-modules': seen('module=vxlan'),
  iptables: seen('iptables=iptables v1.8.3 (nf_tables)'),
  'data-fs': seen('data-fs=nfs'),
  'default-route': () => findingsOf([bare]),
  'foreign-k3s': seen('k3s-data=yes'),
  'config-drop-in': seen('k3s-drop-in=a.yaml: tls-san'),
  'other-cluster': seen(record({ cluster: 'c-2' })),
  role: seen(record({ role: 'agent' })),
  upgrade: seen(record({ digest: `sha256:${'0'.repeat(64)}` })),
  'config-differs': seen(record({}), 'unit-k3s=active enabled', 'k3s-config=disable: "traefik"'),
  'registry-differs': seen(
    record({}),
    'unit-k3s=active enabled',
    `k3s-registries=${registries}`,
    'k3s-registries=# registry: embedded',
  ),
  'registries-file': seen('k3s-registries=mirrors: {}'),
  'registry-version': withRegistry({ mode: 'embedded' }),
  'registry-fallback': withRegistry({ mode: 'embedded' }),
  'registry-runtime': withRegistry(
    { mode: 'embedded' },
    {},
    { config: { server: { 'container-runtime-endpoint': '/run/x.sock' }, agent: {} } },
  ),
  'registry-program': withRegistry({ mode: 'managed' }),
  'registry-platforms': () =>
    findingsOf([sampleNode(), sampleNode({ facts: arm }, 2)], {
      cluster: { ...sampleCluster, registry: { mode: 'managed' } },
    }),
  'registry-push': withRegistry({ mode: 'none' }, { wishes: { registryPush: true } }),
  'registry-silent': answering({ state: 'silent', why: 'connection refused' }),
  'registry-login': answering({ state: 'login', why: 'authentication required' }),
  'registry-reach': answering({ unreaching: ['10.0.0.2'] }),
  'registry-images': answering({ missing: [{ name: 'docker.io/library/web:1', why: 'absent' }] }),
  'registry-tag': answering({ missing: [{ name: 'docker.io/library/web:1', why: 'other' }] }),
  'registry-collision': answering({ collisions: ['docker.io/library/web:1 and quay.io/library/web:1'] }),
  image: () => findingsOf([sampleNode({ rootfs: { ...sampleNode().rootfs, files: new Map() } })]),
  'same-name': () => findingsOf([sampleNode(), sampleNode({ name: 'node1' }, 2)]),
  'same-address': () =>
    findingsOf([sampleNode(), sampleNode({ name: 'other', host: 'alias', address: '10.0.0.1' }, 2)]),
  'same-machine-id': () => findingsOf([sampleNode(), sampleNode({ facts: sampleFacts(['machine-id=m1'], 2) }, 2)]),
  'name-taken': () => findingsOf([sampleNode()], { members: [member] }),
  'even-servers': () =>
    findingsOf([sampleNode(), sampleNode({ role: 'server' }, 2)], { cluster: { ...sampleCluster, datastore: 'etcd' } }),
  'stand-in': () => findingsOf([sampleNode()], { wishes: { standIn: true } }),
}
