import type { Cluster, PlannedNode } from '../runtime.ts'
import type { Op, Probe } from '../step.ts'
import { k3sPaths } from './paths.ts'

/** k3s on a node. kubectl keeps a cache below HOME; a look must leave nothing behind, and must end. */
export function k3sCommand(args: readonly string[], timeoutSeconds = 30): readonly string[] {
  return ['env', 'HOME=/run/cloudimg-deploy', 'timeout', String(timeoutSeconds), k3sPaths.program, ...args]
}

/** kubectl on a server. */
export function kubectl(args: readonly string[], timeoutSeconds?: number): readonly string[] {
  return k3sCommand(['kubectl', ...args], timeoutSeconds)
}

const insistScript = `for try in 1 2 3 4 5 6; do "$@" && exit 0; sleep 5; done; exit 1`

/** A command that may fail for a moment: the others take over from an etcd leader that leaves, a kind is not served yet. */
export function insist(argv: readonly string[]): Op {
  return { op: 'exec', argv: ['sh', '-c', insistScript, 'insist', ...argv] }
}

/** The node is Ready as `via` sees it, at the cluster's version; a server with a part in etcd is a voter too. */
export function isUp(node: PlannedNode, cluster: Cluster, via: PlannedNode): Probe {
  const wanted: (readonly [string, string])[] = [[condition('Ready'), 'True']]
  if (cluster.version !== undefined) wanted.push(['{.status.nodeInfo.kubeletVersion}', cluster.version])
  if (node.role === 'server' && cluster.datastore === 'etcd') wanted.push(voter(node, cluster))
  const argv = kubectl(['get', 'node', node.name, '-o', `jsonpath=${wanted.map(([path]) => path).join(' ')}`])
  const stdout = wanted.map(([, value]) => value).join(' ')
  return { probe: 'on', host: via.host, of: { probe: 'command', argv, expect: { stdout } } }
}

/** Older versions have no condition that tells voters; there the annotation comes with the membership (DEPLOY.md, "Servers"). */
function voter(node: PlannedNode, cluster: Cluster): readonly [string, string] {
  if (cluster.hasFeature('etcd-voter-condition')) return [condition('EtcdIsVoter'), 'True']
  return [String.raw`{.metadata.annotations.etcd\.k3s\.cattle\.io/node-address}`, node.address]
}

function condition(type: string): string {
  return `{.status.conditions[?(@.type=="${type}")].status}`
}

/** Nobody has seen a node of that name: true also while the API does not answer, as it may for a moment when a server leaves. */
export function isAway(name: string, via: PlannedNode): Probe {
  const script = '! "$@" >/dev/null 2>&1'
  const argv = ['sh', '-c', script, 'node-away', ...kubectl(['get', 'node', name, '-o', 'name'])]
  return { probe: 'on', host: via.host, of: { probe: 'command', argv, expect: 'zero' } }
}

/** The cluster has no node of that name, and its API answers. */
export function isUnknown(name: string, via: PlannedNode): Probe {
  const argv = kubectl(['get', 'node', name, '--ignore-not-found', '-o', 'name'])
  return { probe: 'on', host: via.host, of: { probe: 'command', argv, expect: { stdout: '' } } }
}
