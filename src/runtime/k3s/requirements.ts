import type { Finding } from '../finding.ts'
import { printContent } from '../step.ts'
import type { Cluster, PlannedNode } from '../runtime.ts'
import { hideSecrets, renderConfig } from './config.ts'
import { judgeRegistry } from './judge-registry.ts'
import { unitOf } from './paths.ts'
import { peerPort, registryPort } from './registry-paths.ts'
import { isReservedKey } from './reserved-keys.ts'
import { standingOf } from './standing.ts'
import { judgeSurroundings } from './surroundings.ts'

/** What must be free for k3s to start (facts/k3s.md §9.2). */
const ports = {
  server: [2379, 2380, 6443, 6444, 10010, 10248, 10249, 10250, 10256, 10257, 10258, 10259],
  agent: [6444, 10010, 10248, 10249, 10250, 10256],
} as const

/** Judges one machine for k3s, from facts alone. `via` is the server an agent would join. */
export function judgeK3s(node: PlannedNode, cluster: Cluster): readonly Finding[] {
  return [
    ...judgePorts(node, cluster),
    ...judgeOtherRole(node),
    ...judgeDropIns(node),
    ...judgeArchive(node),
    ...judgeRouteless(node),
    ...judgeSurroundings(node, cluster),
    ...judgeRegistry(node, cluster),
    ...(node.role === 'server' ? judgeConfig(node, cluster) : []),
  ]
}

function finding(node: PlannedNode, id: string, severity: Finding['severity'], message: string, fix: string): Finding {
  return { id, host: node.host, severity, message, fix }
}

function installed(node: PlannedNode): boolean {
  const { units } = node.facts.k3s
  return Object.values(units).some(unit => !['unknown', 'not-found', ''].includes(unit.enabled))
}

function judgePorts(node: PlannedNode, { registry: { mode } }: Cluster): readonly Finding[] {
  if (installed(node)) return []
  const more = mode === 'embedded' ? [peerPort] : mode === 'managed' && node.role === 'server' ? [registryPort] : []
  const taken = [...ports[node.role], ...more].filter(port => node.facts.listeningTcp.includes(port))
  if (taken.length === 0) return []
  const list = taken.join(', ')
  return [
    finding(
      node,
      'ports',
      'error',
      `TCP port ${list} is in use, k3s needs it`,
      `stop what listens there: ss -lntp | grep -E ':(${taken.join('|')}) '`,
    ),
  ]
}

function judgeOtherRole(node: PlannedNode): readonly Finding[] {
  const other = unitOf(node.role === 'server' ? 'agent' : 'server')
  const { enabled } = node.facts.k3s.units[other]
  if (['unknown', 'not-found', ''].includes(enabled)) return []
  return [
    finding(
      node,
      'role',
      'error',
      `the machine has a unit ${other}, it cannot become a k3s ${node.role} too`,
      'name it in its present role, or reset it first: cloudimg-node reset',
    ),
  ]
}

function judgeDropIns(node: PlannedNode): readonly Finding[] {
  return node.facts.k3s.dropIns
    .filter(entry => isReservedKey(entry.split(': ').at(-1) ?? ''))
    .map(entry =>
      finding(
        node,
        'config-drop-in',
        'error',
        `a file in /etc/rancher/k3s/config.yaml.d sets what cloudimg sets: ${entry}`,
        'remove that key or that file',
      ),
    )
}

function judgeArchive(node: PlannedNode): readonly Finding[] {
  const { arch } = node.facts.platform
  const has = (path: string): boolean => node.rootfs.files.has(path)
  const missing = ['bin/k3s', 'scripts/k3s-install.sh', 'scripts/cloudimg-node'].filter(path => !has(path))
  const findings = missing.map(path =>
    finding(
      node,
      'image',
      'error',
      `the image has no "${path}" for linux/${arch}`,
      'build the image with BASE k3s@VERSION',
    ),
  )
  const archive = ['', '.gz', '.zst'].some(ending => has(`images/k3s-airgap-images-${arch}.tar${ending}`))
  if (archive) return findings
  return [
    ...findings,
    finding(
      node,
      'image',
      'error',
      `the image has no images/k3s-airgap-images-${arch} archive: no pod would start`,
      'build the image with BASE k3s@VERSION',
    ),
  ]
}

/** Every config names address and interface, so k3s itself starts without a default route. */
function judgeRouteless(node: PlannedNode): readonly Finding[] {
  if (node.facts.defaultRoutes.some(isUsableRoute)) return []
  return [
    finding(
      node,
      'default-route',
      'warning',
      'there is no default route: k3s will run, but programs of this machine (and the API server, for webhooks and metrics) cannot reach service addresses',
      'add --fix default-route, or give the machine a default route',
    ),
  ]
}

export function isUsableRoute(line: string): boolean {
  return /^default (?:via|dev|nhid|proto)\b/.test(line)
}

/** Keys of a running server cannot be changed by `run` yet; a machine without a k3s unit may be given any. */
function judgeConfig(node: PlannedNode, cluster: Cluster): readonly Finding[] {
  const { config } = node.facts.k3s
  if (config === undefined || !installed(node)) return []
  const wanted = hideSecrets(printContent(renderConfig(node, cluster)))
  // Turning SQLite into etcd is the one change that is asked for by a flag of its own.
  const converts = standingOf(node)?.datastore === 'sqlite' && cluster.datastore === 'etcd'
  if (config === (converts ? wanted.replace(/^cluster-init: true\n/m, '') : wanted)) return []
  return [
    finding(
      node,
      'config-differs',
      'error',
      'it runs with another configuration than this command would give it, and changing it needs a restart that this version cannot plan',
      'give the options with which the cluster was made, or reset the machine first: cloudimg-node reset',
    ),
  ]
}
