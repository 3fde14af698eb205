import type { Finding } from '../finding.ts'
import type { Cluster, PlannedNode } from '../runtime.ts'

type Judge = (node: PlannedNode, cluster: Cluster) => Omit<Finding, 'host'> | undefined

/** What of the machine around k3s would keep pods from working (facts/k3s.md §9), from facts alone. */
export function judgeSurroundings(node: PlannedNode, cluster: Cluster): readonly Finding[] {
  return judges.flatMap(judge => {
    const found = judge(node, cluster)
    return found === undefined ? [] : [{ ...found, host: node.host }]
  })
}

const isFresh = ({ facts }: PlannedNode): boolean =>
  Object.values(facts.k3s.units).every(unit => ['unknown', 'not-found', ''].includes(unit.enabled))

const judges: readonly Judge[] = [
  function nameservers({ facts }) {
    if (facts.nameservers.some(isUsableNameserver)) return undefined
    return {
      id: 'nameservers',
      severity: 'warning',
      message: 'it knows no name server but itself: pods will ask 8.8.8.8, or CoreDNS will not start',
      fix: 'name one that can be reached in /etc/resolv.conf, or in a file that the key resolv-conf of the k3s configuration names',
    }
  },
  function kernelModules({ facts: { missingModules, kernel } }) {
    if (missingModules.length === 0) return undefined
    return {
      id: 'kernel-modules',
      severity: 'warning',
      message: `its kernel ${kernel} has no module ${missingModules.join(', ')}`,
      fix: 'install kernel-modules-extra (RHEL) or linux-modules-extra-raspi (Ubuntu on Raspberry Pi)',
    }
  },
  function iptables({ facts, role }, { config }) {
    const [, minor, patch] = /v1\.(\d+)\.(\d+)/.exec(facts.iptables)?.map(Number) ?? []
    const isBuggy = minor === 8 ? patch! <= 4 : minor !== undefined && (minor < 6 || (minor === 6 && patch! <= 1))
    if (!isBuggy || !facts.iptables.includes('nf_tables') || config[role]?.['prefer-bundled-bin'] === true)
      return undefined
    return {
      id: 'iptables',
      severity: 'warning',
      message: `its ${facts.iptables.trim()} adds the same rules again and again`,
      fix: 'set prefer-bundled-bin: true in the k3s configuration, or install iptables 1.8.5 or newer',
    }
  },
  function cgroupVersion({ facts }, { version }) {
    const minor = Number(/^v1\.(\d+)\./.exec(version ?? '')?.[1])
    if (facts.cgroup.version === 2 || !(minor >= 35)) return undefined
    return {
      id: 'cgroup-v1',
      severity: 'error',
      message: `it uses cgroup v1, which ${version} refuses`,
      fix: 'boot it with systemd.unified_cgroup_hierarchy=1',
    }
  },
  function fapolicyd({ facts }) {
    if (!facts.activeServices.includes('fapolicyd')) return undefined
    return {
      id: 'fapolicyd',
      severity: 'warning',
      message: 'fapolicyd is active and may keep the programs of k3s from running',
      fix: 'allow /var/lib/rancher/ and /usr/local/bin/k3s in its rules',
    }
  },
  function dataFileSystem({ facts }) {
    if (!/^(?:nfs|cifs|smb)/i.test(facts.dataFileSystem)) return undefined
    return {
      id: 'data-fs',
      severity: 'error',
      message: `/var/lib/rancher lies on ${facts.dataFileSystem}, where containers cannot`,
      fix: 'mount a local disk there',
    }
  },
  function vxlanPort(node) {
    if (!isFresh(node) || !node.facts.boundUdp.includes(8472)) return undefined
    return {
      id: 'ports',
      severity: 'error',
      message: 'UDP port 8472 is in use, flannel needs it',
      fix: "stop what uses it: ss -lnup 'sport = :8472'",
    }
  },
  function webPorts(node) {
    const taken = [80, 443].filter(port => node.facts.listeningTcp.includes(port))
    if (!isFresh(node) || taken.length === 0) return undefined
    return {
      id: 'web-ports',
      severity: 'warning',
      message: `TCP port ${taken.join(', ')} is in use: Traefik will not be reachable there`,
      fix: 'stop what listens there, or set disable: traefik in the k3s configuration',
    }
  },
]

function isUsableNameserver(address: string): boolean {
  return !/^(?:127\.|0\.0\.0\.0|::1?$|169\.254\.|fe80:)/i.test(address.trim()) && address.trim() !== ''
}
