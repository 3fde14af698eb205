import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import type { ServerSnapshot } from '../../runtime/runtime.ts'
import { type ActionResult, performAction } from '../act.ts'
import type { Action } from '../action.ts'
import { chooseCluster } from '../cluster-record.ts'
import { type ClusterChoice, findCluster } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import { judgeOwnDatastore } from '../judges/datastore.ts'
import { type KeptSnapshot, listKeptSnapshots } from '../kept-snapshots.ts'
import { onHosts } from '../on-hosts.ts'
import { type ReachOptions, stateHome } from '../options.ts'
import { snapshotOnDemand } from '../phases/snapshot.ts'
import type { ActionRequest } from '../request.ts'
import { waysOf } from '../ways.ts'

/** The state of the cluster comes to the operator. */
export const snapshotAction: Action = {
  name: 'snapshot',
  phases: [snapshotOnDemand],
  judges: [judgeOwnDatastore],
  leaves: 'cluster',
}

export interface SnapshotOptions extends ReachOptions {
  readonly choice: ClusterChoice
}

export interface SnapshotResult extends ActionResult {
  readonly snapshot: KeptSnapshot
}

const ways = waysOf(snapshotAction, requestOf)
export const planSnapshot = ways.plan
/** Takes back a snapshot that was cut off. @throws as `undoAction` does. */
export const undoSnapshot = ways.undo

export async function saveSnapshot(
  options: SnapshotOptions,
  ctx: Context,
  ends: Ends = realEnds,
): Promise<SnapshotResult> {
  const result = await performAction(snapshotAction, await requestOf(options, ends, ctx), ends, ctx)
  const kept = await listKeptSnapshots(join(options.stateHome ?? stateHome(), result.cluster))
  return { ...result, snapshot: kept.find(({ id }) => id === result.op)! }
}

async function requestOf({ choice, ...reach }: SnapshotOptions, ends: Ends, ctx: Context): Promise<ActionRequest> {
  const [server] = (await findCluster(choice, reach, ends, ctx)).nodes
  return { ...reach, inventory: [{ address: server.address, role: 'server' }] }
}

export interface SnapshotList {
  readonly cluster: string
  /** The operator's own, the oldest first. */
  readonly kept: readonly KeptSnapshot[]
  /** Those that lie on servers, where they were asked for. */
  readonly onServers?: readonly (ServerSnapshot & { readonly node: string })[]
}

/** What there is to restore. Changes nothing. */
export async function listSnapshots(
  { choice, onServers = false, ...reach }: SnapshotOptions & { readonly onServers?: boolean },
  ctx: Context,
  ends: Ends = realEnds,
): Promise<SnapshotList> {
  const home = reach.stateHome ?? stateHome()
  if (!onServers && choice.server === undefined) {
    const { id } = await chooseCluster(home, choice.cluster)
    return { cluster: id, kept: await listKeptSnapshots(join(home, id)) }
  }
  const { id, nodes, runtime } = await findCluster(choice, reach, ends, ctx)
  const kept = await listKeptSnapshots(join(home, id))
  if (!onServers) return { cluster: id, kept }
  const servers = nodes.filter(node => node.role === 'server')
  const found = await onHosts(
    servers,
    reach.limits?.concurrency ?? 10,
    node => node.name,
    async ({ address, name }) => {
      const host = await ends.connect(address, reach.ssh ?? {}, ctx)
      try {
        return (await runtime.snapshots(host, ctx)).map(snapshot => ({ node: name, ...snapshot }))
      } finally {
        await host.close()
      }
    },
  )
  return { cluster: id, kept, onServers: found.flat() }
}
