import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { CloudimgError, isCloudimgError } from '../core/error.ts'
import { parseHostAddress } from '../host/address.ts'
import { gatherFacts } from '../host/facts.ts'
import { readNodeRecord } from './cluster-id.ts'
import { chooseCluster, type ClusterRecord, readClusterRecord, type RecordedHost } from './cluster-record.ts'
import { addressOf, type ClusterChoice, findCluster, type FoundCluster } from './discover.ts'
import type { Ends } from './ends.ts'
import type { InventoryEntry } from './inventory.ts'
import { type ReachOptions, stateHome } from './options.ts'

export interface Everyone {
  /** The cluster's. */
  readonly id: string
  readonly nodes: readonly KnownNode[]
  /** Undefined where no server answers any more, and the operator's own list counts. */
  readonly found: FoundCluster | undefined
}

/** A machine of a cluster; what the cluster says of it is there only where the cluster answers. */
export interface KnownNode extends InventoryEntry {
  readonly name: string
}

/**
 * All nodes of a cluster, also of one that answers no more, or that knows less than the operator does: what replaces its state, or
 * takes it away, must find everyone again after it was cut off.
 */
export async function everyone(
  choice: ClusterChoice,
  reach: ReachOptions,
  ends: Ends,
  ctx: Context,
): Promise<Everyone> {
  try {
    const found = await findCluster(choice, reach, ends, ctx)
    const missing = found.recorded.filter(({ name }) => !found.nodes.some(node => node.name === name))
    return { id: found.id, nodes: [...found.nodes, ...missing.map(asRecorded)], found }
  } catch (error) {
    if (!isCloudimgError(error) || error.code === 'CANCELLED') throw error
    const { id, hosts } = await recordOf(choice, reach, ends, ctx, error)
    return { id, nodes: hosts.map(asRecorded), found: undefined }
  }
}

function asRecorded({ host, role, name }: RecordedHost): KnownNode {
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

/** The node that the user means: by name, or as its machine is reached. @throws USAGE */
export function oneOf(nodes: readonly KnownNode[], text: string): KnownNode {
  const asked = parseHostAddress(text)
  const found =
    nodes.find(node => node.name === asked.name.toLowerCase()) ??
    nodes.find(node => node.address.name === asked.name || node.address.host === asked.host)
  if (found !== undefined) return found
  throw new CloudimgError(
    'USAGE',
    `reading host "${text}": the cluster has ${nodes.map(({ name }) => name).join(', ')}`,
    {
      hint: 'name a node of the cluster',
    },
  )
}

/** Those that are worked with, and the names of the servers among those that nobody reaches. @throws USAGE */
export function withoutUnreachable(
  nodes: readonly KnownNode[],
  unreachable: readonly string[],
): { readonly reached: readonly KnownNode[]; readonly lost: readonly string[] } {
  const left = unreachable.map(text => oneOf(nodes, text))
  return {
    reached: nodes.filter(node => !left.includes(node)),
    lost: left.filter(node => node.role === 'server').map(node => node.name),
  }
}
