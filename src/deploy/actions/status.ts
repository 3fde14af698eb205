import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import type { Host } from '../../host/host.ts'
import type { Member, Registry, Runtime } from '../../runtime/runtime.ts'
import { readClusterRecord } from '../cluster-record.ts'
import { type ClusterChoice, findCluster, type FoundNode } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import { onHosts } from '../on-hosts.ts'
import { type ReachOptions, stateHome } from '../options.ts'
import { inspectNode, type NodeInspection, troublesOf, unseen } from '../status/inspect-node.ts'

export interface StatusOptions extends ReachOptions {
  readonly choice: ClusterChoice
}

export interface NodeStatus extends Pick<Member, 'name' | 'role' | 'ready' | 'version' | 'voter'> {
  readonly host: string
  /** Undefined where the machine could not be looked at. */
  readonly seen: NodeInspection | undefined
  /** What is not as declared; empty where all is well. */
  readonly troubles: readonly string[]
}

export interface ClusterStatus {
  readonly cluster: string
  /** Healthy voters of all that there are; absent without an embedded datastore. */
  readonly voters?: { readonly healthy: number; readonly all: number }
  /** Where nodes ask for images that they lack, as the first node that could be looked at says; absent where nowhere. */
  readonly registry?: Registry
  readonly nodes: readonly NodeStatus[]
  /** Of the whole: nodes that are missing, or back though they were removed. */
  readonly troubles: readonly string[]
  /** Everything is as declared. */
  readonly ok: boolean
}

/** What there is, and whether it is as it was declared. Changes nothing, and locks nothing. */
export async function clusterStatus(
  options: StatusOptions,
  ctx: Context,
  ends: Ends = realEnds,
): Promise<ClusterStatus> {
  const { choice, ...reach } = options
  const cluster = await findCluster(choice, reach, ends, ctx)
  ctx.events({ kind: 'phase', title: 'Status' })
  const look = async (node: FoundNode): Promise<NodeStatus> => {
    const seen = await inspect(node, cluster.runtime, reach, ends, ctx)
    const { name, role, ready, version, voter } = node.member
    const known = { name, role, ready, version, voter, host: node.address.name }
    return { ...known, seen: typeof seen === 'string' ? undefined : seen, troubles: troublesOf(node.member, seen) }
  }
  const nodes = await onHosts(cluster.nodes, reach.limits?.concurrency ?? 10, node => node.name, look)
  const troubles = await declaredTroubles(join(reach.stateHome ?? stateHome(), cluster.id), nodes)
  const voting = nodes.filter(node => node.voter !== undefined)
  const registry = nodes.find(node => node.seen?.registry !== undefined)?.seen?.registry
  const healthy = voting.filter(node => node.voter === true && node.ready).length
  return {
    cluster: cluster.id,
    ...(voting.length === 0 ? {} : { voters: { healthy, all: voting.length } }),
    ...(registry === undefined ? {} : { registry }),
    nodes,
    troubles,
    ok: troubles.length === 0 && nodes.every(node => node.troubles.length === 0),
  }
}

async function inspect(
  node: FoundNode,
  runtime: Runtime,
  reach: ReachOptions,
  ends: Ends,
  ctx: Context,
): Promise<NodeInspection | string> {
  let host: Host | undefined
  try {
    host = await ends.connect(node.address, reach.ssh ?? {}, ctx)
    return await inspectNode(host, runtime, () => ends.now(), ctx)
  } catch (error) {
    return unseen(error)
  } finally {
    await host?.close()
  }
}

/** The operator's own record is what was declared. Without one there is nothing to compare with. */
async function declaredTroubles(directory: string, nodes: readonly NodeStatus[]): Promise<readonly string[]> {
  const record = await readClusterRecord(directory)
  const names = new Set(nodes.map(node => node.name))
  const missing = (record?.hosts ?? []).filter(host => !names.has(host.name))
  const back = (record?.removed ?? []).filter(name => names.has(name))
  return [
    ...missing.map(({ name, host }) => `node "${name}" (${host}) is not in the cluster`),
    ...back.map(name => `node "${name}" was removed and is back: cloudimg delete ${name}`),
  ]
}
