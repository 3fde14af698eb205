import { formatBytes, GiB, MiB } from '../core/bytes.ts'
import type { Finding } from '../runtime/finding.ts'
import type { Cluster, PlannedNode } from '../runtime/runtime.ts'
import type { ActionJudge } from './action.ts'
import { readNodeRecord } from './cluster-id.ts'
import { pendingBytes } from './missing-files.ts'
import type { Wishes } from './options.ts'
import type { SituatedNode } from './situation.ts'

/** Everything that the machines that are to be nodes say against it, from facts alone. */
export const judgeHosts: ActionJudge = input => [
  ...judgeMachines(input),
  ...input.nodes.flatMap(node => judgeHistory(node, input.cluster)),
]

/** What the machines themselves say, whatever was done to them before. */
export const judgeMachines: ActionJudge = ({ nodes, cluster, runtime, wishes }) => [
  ...nodes.flatMap(node => [...judgeMachine(node), ...runtime.requirements(node, cluster)]),
  ...judgeTogether(nodes),
  ...judgeStandIn(nodes, wishes),
]

type Judge = (node: SituatedNode) => readonly Finding[]

function about(node: PlannedNode, severity: Finding['severity']) {
  return (id: string, message: string, fix: string): Finding => ({ id, host: node.host, severity, message, fix })
}

const judgeMachine: Judge = node => machineJudges.flatMap(judge => judge(node))

const machineJudges: readonly Judge[] = [
  function init(node) {
    if (node.facts.init === 'systemd') return []
    return [
      about(node, 'error')(
        'init',
        `it runs ${node.facts.init === 'openrc' ? 'OpenRC' : 'no init system that cloudimg knows'}, not systemd`,
        'use a machine with systemd',
      ),
    ]
  },
  function tools(node) {
    if (node.facts.missingTools.length === 0) return []
    return [
      about(node, 'error')(
        'tools',
        `programs of the base system are missing: ${node.facts.missingTools.join(', ')}`,
        'install them from the distribution',
      ),
    ]
  },
  function hostname(node) {
    if (/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(node.name) && !node.name.startsWith('localhost')) return []
    return [
      about(node, 'error')(
        'hostname',
        `its host name "${node.facts.hostname}" cannot name a node`,
        'give the machine a name of its own: hostnamectl set-hostname NAME',
      ),
    ]
  },
  function resources(node) {
    const [bytes, cpus] = node.role === 'server' ? [1.9 * GiB, 2] : [0.45 * GiB, 1]
    const small = node.facts.memoryBytes < bytes || node.facts.cpus < cpus
    if (!small) return []
    return [
      about(node, 'warning')(
        'resources',
        `${formatBytes(node.facts.memoryBytes)} of memory and ${node.facts.cpus} processors are little for a ${node.role}`,
        `give it ${node.role === 'server' ? '2 GiB and 2 processors' : '512 MiB'} or more`,
      ),
    ]
  },
  function disk(node) {
    const need = pendingBytes(node)
    if (need === 0) return []
    const findings: Finding[] = []
    // The program unpacks itself and the archive becomes images: about three times what was sent.
    for (const [path, bytes] of [
      ['/var/lib/cloudimg', need],
      ['/var/lib/rancher', 3 * need + 200 * MiB],
    ] as const) {
      const disk = node.facts.disks.find(entry => entry.path === path)
      if (disk === undefined || disk.freeBytes >= bytes) continue
      findings.push(
        about(node, 'error')(
          'disk',
          `${path} has ${formatBytes(disk.freeBytes)} free, about ${formatBytes(bytes)} are needed`,
          `make room, or put ${path} on a larger disk`,
        ),
      )
    }
    return findings
  },
  function inodes(node) {
    const short = node.facts.disks.find(
      disk => disk.freeInodes !== undefined && disk.freeInodes < node.rootfs.files.size + 1000,
    )
    if (short === undefined || pendingBytes(node) === 0) return []
    return [
      about(node, 'error')(
        'inodes',
        `the disk of ${short.path} has ${short.freeInodes} free inodes`,
        'use a disk formatted with more inodes',
      ),
    ]
  },
  function noexec(node) {
    return node.facts.disks
      .filter(disk => disk.noexec && disk.path !== '/var/lib/cloudimg')
      .map(disk =>
        about(node, 'error')(
          'noexec',
          `${disk.path} is mounted noexec, k3s runs programs from there`,
          `mount -o remount,exec the disk of ${disk.path}, and change /etc/fstab`,
        ),
      )
  },
  function cgroups(node) {
    const { version, controllers } = node.facts.cgroup
    const needed = version === 2 ? ['cpu', 'cpuset', 'memory', 'pids'] : ['cpu', 'cpuacct', 'memory']
    const missing = needed.filter(name => !controllers.includes(name))
    if (missing.length === 0) return []
    return [
      about(node, 'error')(
        'cgroups',
        `cgroup controllers are missing: ${missing.join(', ')}`,
        'enable them on the kernel command line (cgroup_enable=memory cgroup_memory=1) and reboot',
      ),
    ]
  },
  function clock(node) {
    const seconds = Math.abs(node.facts.clockOffsetSeconds)
    if (seconds <= 2) return []
    return [
      about(node, seconds > 30 ? 'error' : 'warning')(
        'clock',
        `its clock is ${seconds} s off this machine's`,
        'set the clocks: certificates made by one machine must be valid on the others',
      ),
    ]
  },
  function apparmor(node) {
    if (!node.facts.apparmorWithoutParser) return []
    return [
      about(node, 'error')(
        'apparmor',
        'AppArmor is on and apparmor_parser is missing: no container would start',
        'install the package apparmor',
      ),
    ]
  },
  function selinux(node) {
    if (node.facts.selinux.mode !== 'Enforcing' || node.facts.selinux.k3sPolicy) return []
    return [
      about(node, 'warning')(
        'selinux',
        'SELinux is enforcing and the policy k3s-selinux is missing',
        'install the RPM packages container-selinux and k3s-selinux',
      ),
    ]
  },
  function firewall(node) {
    const active = node.facts.activeServices.filter(name => name === 'firewalld' || name === 'ufw')
    return active.map(name =>
      about(node, 'warning')(
        'firewall',
        `${name} is active`,
        'open TCP 6443 (servers), TCP 10250 and UDP 8472 between the nodes, and trust 10.42.0.0/16 and 10.43.0.0/16',
      ),
    )
  },
  function neighbours(node) {
    const others = node.facts.activeServices.filter(name => /^(?:rke2-|k0s|kubelet$)/.test(name))
    return others.map(name =>
      about(node, 'error')(
        'other-kubernetes',
        `another Kubernetes runs there: ${name}`,
        'remove it, or use another machine',
      ),
    )
  },
  function networkManager(node) {
    if (!node.facts.activeServices.includes('nm-cloud-setup.timer')) return []
    return [
      about(node, 'error')(
        'nm-cloud-setup',
        'nm-cloud-setup rewrites routes and breaks the cluster network',
        'systemctl disable --now nm-cloud-setup.timer nm-cloud-setup.service, then reboot',
      ),
    ]
  },
]

/** What was done to the machine before, by cloudimg or others. */
function judgeHistory(node: SituatedNode, cluster: Cluster): readonly Finding[] {
  const record = readNodeRecord(node.facts)
  const error = about(node, 'error')
  const { units, version, dataPresent } = node.facts.k3s
  const hasUnit = Object.values(units).some(unit => !['unknown', 'not-found', ''].includes(unit.enabled))
  if (record === undefined) {
    if (!hasUnit && !dataPresent) return []
    return [
      error(
        'foreign-k3s',
        `there is a k3s that cloudimg did not install${version === undefined ? '' : ` (${version})`}`,
        'uninstall it with k3s-uninstall.sh or k3s-agent-uninstall.sh, or use another machine',
      ),
    ]
  }
  const findings: Finding[] = []
  if (record.cluster !== undefined && record.cluster !== cluster.id)
    findings.push(
      error(
        'other-cluster',
        `it belongs to cluster ${record.cluster}, not to ${cluster.id}`,
        'use another machine, or reset it first: cloudimg-node reset',
      ),
    )
  if (record.role !== undefined && record.role !== node.role)
    findings.push(
      error(
        'role',
        `it is an ${record.role} of this cluster, and shall become a ${node.role}`,
        'name it in its present role, or reset it first: cloudimg-node reset',
      ),
    )
  if (record.digest !== undefined && record.digest !== node.rootfs.digest)
    findings.push(
      error(
        'upgrade',
        `it runs another image (${record.version ?? 'unknown version'}), not the one that was asked for`,
        `run the image it has, or upgrade the cluster: cloudimg upgrade`,
      ),
    )
  return findings
}

/** What only several machines side by side show. */
function judgeTogether(nodes: readonly SituatedNode[]): readonly Finding[] {
  return nodes.flatMap((node, index) => {
    const before = nodes.slice(0, index)
    const error = about(node, 'error')
    const sameName = before.find(other => other.name === node.name)
    const sameAddress = before.find(other => other.address === node.address)
    const sameMachine = before.find(
      other => other.facts.machineId !== '' && other.facts.machineId === node.facts.machineId,
    )
    return [
      ...(sameName === undefined
        ? []
        : [
            error(
              'same-name',
              `it has the host name "${node.name}" of "${sameName.host}"`,
              'give it another: hostnamectl set-hostname NAME',
            ),
          ]),
      ...(sameAddress === undefined
        ? []
        : [
            error(
              'same-address',
              `it has the address ${node.address} of "${sameAddress.host}": one machine under two names?`,
              'name every machine once',
            ),
          ]),
      ...(sameMachine === undefined || sameAddress !== undefined
        ? []
        : [
            about(node, 'warning')(
              'same-machine-id',
              `it has the machine id of "${sameMachine.host}", a clone?`,
              'give it its own: rm /etc/machine-id && systemd-machine-id-setup',
            ),
          ]),
    ]
  })
}

function judgeStandIn(nodes: readonly SituatedNode[], wishes: Wishes): readonly Finding[] {
  const found = wishes.standIn === true || nodes.some(node => node.facts.k3s.standIn)
  const first = nodes[0]
  if (!found || wishes.allowStandIn === true || first === undefined) return []
  return [
    about(first, 'error')(
      'stand-in',
      'the k3s of this image is the stand-in of the tests: it runs no containers',
      'build the image from a real release, or say --allow-stand-in',
    ),
  ]
}
