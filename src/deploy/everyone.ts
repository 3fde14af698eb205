import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { type CloudimgError, isCloudimgError } from '../core/error.ts'
import { type HostAddress, parseHostAddress } from '../host/address.ts'
import { gatherFacts } from '../host/facts.ts'
import type { Role } from '../runtime/runtime.ts'
import { readNodeRecord } from './cluster-id.ts'
import { chooseCluster, type ClusterRecord, readClusterRecord, type RecordedHost } from './cluster-record.ts'
import { addressOf, type ClusterChoice, findCluster, type FoundCluster, oneOf } from './discover.ts'
import type { Ends } from './ends.ts'
import { type ReachOptions, stateHome } from './options.ts'

export interface Everyone {
  /** The cluster's. */
  readonly id: string
  readonly nodes: readonly EveryNode[]
  /** The machine whose server has answered; undefined where none does, and the operator's own list counts. */
  readonly answering: string | undefined
  /** What that server tells. */
  readonly found: FoundCluster | undefined
}

export interface EveryNode {
  readonly address: HostAddress
  readonly role: Role
  readonly name: string
}

/**
 * All nodes of a cluster, also of one that answers no more, or that knows less than the operator does: what replaces its state, or
 * takes it away, must find everyone again after it was cut off.
 */
export async function findEveryone(
  choice: ClusterChoice,
  reach: ReachOptions,
  ends: Ends,
  ctx: Context,
): Promise<Everyone> {
  try {
    const found = await findCluster(choice, reach, ends, ctx)
    const { id, nodes, recorded } = found
    const missing = recorded.filter(({ name }) => !nodes.some(node => node.name === name))
    return { id, nodes: [...nodes, ...missing.map(asRecorded)], answering: nodes[0].address.name, found }
  } catch (error) {
    if (!isCloudimgError(error) || error.code === 'CANCELLED') throw error
    const { id, hosts } = await recordOf(choice, reach, ends, ctx, error)
    return { id, nodes: hosts.map(asRecorded), answering: undefined, found: undefined }
  }
}

function asRecorded({ host, role, name }: RecordedHost): EveryNode {
  return { address: addressOf(host), role, name }
}

/** A server that is named tells the cluster's id by its files, whether its API answers or not. */
async function recordOf(
  choice: ClusterChoice,
  reach: ReachOptions,
  ends: Ends,
  ctx: Context,
  unanswered: CloudimgError,
): Promise<ClusterRecord> {
  const home = reach.stateHome ?? stateHome()
  if (choice.server === undefined) return await chooseCluster(home, choice.cluster)
  const record = await recordFrom(choice.server, reach, ends, ctx)
  if (record === undefined) throw unanswered
  return record
}

/** What the operator knows of the cluster of a server; undefined where that is nothing. */
export async function recordFrom(
  server: string,
  reach: ReachOptions,
  ends: Ends,
  ctx: Context,
): Promise<ClusterRecord | undefined> {
  const home = reach.stateHome ?? stateHome()
  const host = await ends.connect(parseHostAddress(server), reach.ssh ?? {}, ctx)
  try {
    const id = readNodeRecord(await gatherFacts(host, () => ends.now(), ctx))?.cluster
    return id === undefined ? undefined : await readClusterRecord(join(home, id))
  } finally {
    await host.close()
  }
}

/** Those that are worked with, and the names of the servers among those that nobody reaches. @throws USAGE */
export function withoutUnreachable(
  nodes: readonly EveryNode[],
  unreachable: readonly string[],
): { readonly reached: readonly EveryNode[]; readonly lost: readonly string[] } {
  const left = unreachable.map(text => oneOf(nodes, text))
  return {
    reached: nodes.filter(node => !left.includes(node)),
    lost: left.filter(node => node.role === 'server').map(node => node.name),
  }
}
