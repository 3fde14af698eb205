import { readFileSync } from 'node:fs'
import { cpus, hostname, release, totalmem } from 'node:os'
import { profile, version } from './version.ts'
import { imageFacts, isImageId, listImages } from './image-store.ts'
import type { Options } from './options.ts'
import type { NodeAddress } from './network.ts'
import { readIfPresent } from './files.ts'

export interface NodeSelf extends NodeAddress {
  readonly name: string
  readonly role: 'server' | 'agent'
  readonly options: Options
  /** Undefined where this node holds no etcd data. */
  readonly etcd: 'voter' | 'learner' | undefined
}

export interface Condition {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
  readonly lastTransitionTime: string
  readonly lastHeartbeatTime?: string
}

/** Lower case, as k3s registers it. */
export function nodeNameOf(options: Options): string {
  return (options.one('node-name') ?? hostname()).toLowerCase()
}

export function condition(
  type: string,
  status: Condition['status'],
  reason: string,
  message: string,
  before: readonly Condition[] = [],
): Condition {
  const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
  const previous = before.find(known => known.type === type)
  const since = previous?.status === status ? previous.lastTransitionTime : now
  return { type, status, reason, message, lastHeartbeatTime: now, lastTransitionTime: since }
}

/** What the kubelet writes when it registers. */
export function nodeMetadata(self: NodeSelf): object {
  const roles = self.role === 'agent' ? [] : ['control-plane', 'master', ...(self.etcd === undefined ? [] : ['etcd'])]
  const roleLabels = Object.fromEntries(roles.map(role => [`node-role.kubernetes.io/${role}`, 'true']))
  const given = Object.fromEntries(self.options.all('node-label').map(label => label.split('=') as [string, string]))
  const etcd = {
    'etcd.k3s.cattle.io/node-name': `${self.name}-standin`,
    'etcd.k3s.cattle.io/node-address': self.nodeIp,
  }
  return {
    name: self.name,
    labels: {
      'beta.kubernetes.io/arch': arch(),
      'beta.kubernetes.io/os': 'linux',
      'kubernetes.io/arch': arch(),
      'kubernetes.io/hostname': self.name,
      'kubernetes.io/os': 'linux',
      'node.kubernetes.io/instance-type': 'k3s',
      ...roleLabels,
      ...given,
    },
    annotations: {
      'k3s.io/internal-ip': self.nodeIp,
      'k3s.io/hostname': self.name,
      ...(self.etcd === undefined ? {} : etcd),
    },
  }
}

export function nodeSpec(self: NodeSelf): object {
  const taints = self.options.all('node-taint').map(text => {
    const [, key = '', value, effect = ''] = /^([^=:]+)(?:=([^:]*))?:(.+)$/.exec(text) ?? []
    return { key, ...(value === undefined ? {} : { value }), effect }
  })
  return { providerID: `k3s://${self.name}`, ...(taints.length === 0 ? {} : { taints }) }
}

export function nodeStatus(self: NodeSelf, isReady: boolean, before: readonly Condition[]): object {
  const fine = (type: string, reason: string): Condition =>
    condition(type, 'False', reason, 'kubelet has no trouble', before)
  const ready = isReady
    ? condition('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status', before)
    : condition('Ready', 'False', 'KubeletNotReady', 'container runtime network not ready', before)
  const voter =
    self.etcd === undefined || !profile.reportsVoter
      ? []
      : [
          condition(
            'EtcdIsVoter',
            self.etcd === 'voter' ? 'True' : 'False',
            'MemberStatus',
            `Node is a ${self.etcd}`,
            before,
          ),
        ]
  return {
    addresses: [
      { type: 'InternalIP', address: self.nodeIp },
      { type: 'Hostname', address: self.name },
    ],
    capacity: { cpu: String(cpus().length), memory: `${Math.floor(totalmem() / 1024)}Ki`, pods: '110' },
    conditions: [
      fine('MemoryPressure', 'KubeletHasSufficientMemory'),
      fine('DiskPressure', 'KubeletHasNoDiskPressure'),
      fine('PIDPressure', 'KubeletHasSufficientPID'),
      ready,
      ...voter,
    ],
    nodeInfo: nodeInfo(),
    images: imagesOnNode(),
    daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
  }
}

function nodeInfo(): object {
  const osRelease = readIfPresent('/etc/os-release') ?? ''
  return {
    architecture: arch(),
    bootID: readIfPresent('/proc/sys/kernel/random/boot_id')?.trim() ?? '',
    containerRuntimeVersion: `containerd://${profile.containerd2 ? '2.0.2' : '1.7.23'}-stand-in`,
    kernelVersion: release(),
    kubeProxyVersion: version,
    kubeletVersion: version,
    machineID: readFileSync('/etc/machine-id', 'utf8').trim(),
    operatingSystem: 'linux',
    osImage: /PRETTY_NAME="(.*)"/.exec(osRelease)?.[1] ?? 'unknown',
    systemUUID: '',
  }
}

/** The kubelet reports the fifty largest. */
function imagesOnNode(): readonly object[] {
  return listImages()
    .filter(({ name }) => !isImageId(name))
    .map(({ name, target }) => ({ names: [name], sizeBytes: imageFacts(target).size }))
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes)
    .slice(0, 50)
}

function arch(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch
}
