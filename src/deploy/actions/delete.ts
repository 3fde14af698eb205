import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import type { Action } from '../action.ts'
import {
  addressOnceKnown,
  type ClusterChoice,
  findCluster,
  findNode,
  oneOf,
  type FoundCluster,
  type FoundNode,
} from '../discover.ts'
import type { Ends } from '../ends.ts'
import type { InventoryEntry } from '../inventory.ts'
import { judgeQuorum } from '../judges/quorum.ts'
import { judgeVolumesOfLeaving } from '../judges/volumes.ts'
import type { ReachOptions } from '../options.ts'
import { forget } from '../phases/forget.ts'
import { leaveAgents, leaveServers } from '../phases/leave.ts'
import { redirect } from '../phases/redirect.ts'
import type { ActionRequest } from '../request.ts'
import { waysOf } from '../ways.ts'

/** Nodes leave a cluster; what stays is whole. */
export const deleteAction: Action = {
  name: 'delete',
  phases: [forget, leaveAgents, leaveServers, redirect],
  judges: [judgeQuorum, judgeVolumesOfLeaving],
  leaves: 'cluster',
}

export interface DeleteOptions extends ReachOptions {
  readonly choice: ClusterChoice
  /** By node name, or as their machines are reached. */
  readonly hosts: readonly string[]
  /** Do without these machines: those that shall leave are forgotten only, and come back should they be powered on. */
  readonly forceUnreachable?: readonly string[]
}

const ways = waysOf(deleteAction, requestOf)
export const planDelete = ways.plan
export const deleteHosts = ways.perform
/** Takes an unfinished delete back. @throws as `undoAction` does. */
export const undoDelete = ways.undo

async function requestOf(options: DeleteOptions, ends: Ends, ctx: Context): Promise<ActionRequest> {
  const { choice, hosts, forceUnreachable = [], ...reach } = options
  if (hosts.length === 0) throw new CloudimgError('USAGE', 'deleting nodes: no host is named', { hint: 'name one' })
  const cluster = await findCluster(choice, reach, ends, ctx)
  const unreachable = new Set(forceUnreachable.map(text => oneOf(cluster.nodes, text).name))
  const leaving = hosts.map(text => ({ text, node: findNode(cluster.nodes, text) }))
  const names = new Set(leaving.map(({ node }) => node?.name))
  const staying = cluster.nodes.filter(node => !names.has(node.name) && !unreachable.has(node.name))
  if (!staying.some(node => node.role === 'server'))
    throw new CloudimgError('USAGE', 'deleting nodes: no server would be left', {
      hint: 'to take the whole cluster away: cloudimg reset',
    })
  return {
    ...reach,
    inventory: [...staying, ...leaving.flatMap(({ text, node }) => leaver(cluster, text, node, unreachable))],
    forgotten: leaving.flatMap(({ node }) => (node !== undefined && unreachable.has(node.name) ? [node.name] : [])),
  }
}

/** What is no member any more may have been deleted by a command that was cut off: the rest of it is still to be done there. */
function leaver(
  cluster: FoundCluster,
  text: string,
  node: FoundNode | undefined,
  unreachable: ReadonlySet<string>,
): readonly InventoryEntry[] {
  if (node === undefined) return [{ address: addressOnceKnown(cluster, text), role: 'agent', leaves: true }]
  return unreachable.has(node.name) ? [] : [{ address: node.address, role: node.role, leaves: true }]
}
