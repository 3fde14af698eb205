import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { type ActionResult, performAction, planAction, type PlanResult } from '../act.ts'
import type { Action } from '../action.ts'
import type { ClusterChoice } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import { everyone, withoutUnreachable } from '../everyone.ts'
import { judgeOwnDatastore, judgeSnapshot } from '../judges/datastore.ts'
import { type KeptSnapshot, listKeptSnapshots, openKeptSnapshot } from '../kept-snapshots.ts'
import { type ReachOptions, stateHome } from '../options.ts'
import {
  bringSnapshot,
  conclude,
  forgetLost,
  haltNodes,
  rejoinAgents,
  rejoinServers,
  restoreDatastore,
  reviveServer,
  tidyHosts,
} from '../phases/restore.ts'
import type { ActionRequest } from '../request.ts'
import { undoAction, type UndoResult } from '../undo.ts'

/** The cluster goes on with the state that it had when a snapshot was taken. */
export const restoreAction: Action = {
  name: 'restore',
  phases: [
    bringSnapshot,
    haltNodes,
    restoreDatastore,
    reviveServer,
    forgetLost,
    rejoinServers,
    rejoinAgents,
    conclude,
    tidyHosts,
  ],
  judges: [judgeOwnDatastore, judgeSnapshot],
  leaves: 'cluster',
  choosesVersions: true,
}

export interface RestoreOptions extends ReachOptions {
  readonly choice: ClusterChoice
  /** As `listSnapshots` names it. */
  readonly snapshot: string
  /** Do without these machines: their servers are forgotten. */
  readonly forceUnreachable?: readonly string[]
}

export async function planRestore(options: RestoreOptions, ctx: Context, ends: Ends = realEnds): Promise<PlanResult> {
  return await planAction(restoreAction, await requestOf(options, ends, ctx), ends, ctx)
}

export async function restoreSnapshot(
  options: RestoreOptions,
  ctx: Context,
  ends: Ends = realEnds,
): Promise<ActionResult> {
  return await performAction(restoreAction, await requestOf(options, ends, ctx), ends, ctx)
}

/** Takes an unfinished restore back, while the old datastore is still the only one that was used. @throws as `undoAction` does. */
export async function undoRestore(options: RestoreOptions, ctx: Context, ends: Ends = realEnds): Promise<UndoResult> {
  return await undoAction(restoreAction, await requestOf(options, ends, ctx), ends, ctx)
}

async function requestOf(
  { choice, snapshot: asked, forceUnreachable = [], ...reach }: RestoreOptions,
  ends: Ends,
  ctx: Context,
): Promise<ActionRequest> {
  const all = await everyone(choice, reach, ends, ctx)
  const kept = await findKept(asked, join(reach.stateHome ?? stateHome(), all.id))
  const { digest, size, isZip, token, file } = await openKeptSnapshot(kept)
  const { id, cluster, node, takenAt, datastore, version } = kept
  const { reached, lost } = withoutUnreachable(all.nodes, forceUnreachable)
  const snapshot = { datastore, version, digest, size, isZip }
  return {
    ...reach,
    inventory: reached,
    brings: [file],
    given: { token },
    datastore: { kind: 'restore', id, cluster, node, takenAt, snapshot, lost },
  }
}

/** @throws USAGE where the operator has no such snapshot. */
async function findKept(asked: string, clusterDirectory: string): Promise<KeptSnapshot> {
  const kept = await listKeptSnapshots(clusterDirectory)
  const found = kept.find(({ id }) => id === asked)
  if (found !== undefined) return found
  const names = kept.map(({ id }) => id).slice(-5)
  throw new CloudimgError(
    'USAGE',
    `restoring "${asked}": ${names.length === 0 ? 'no snapshot is kept here' : `there are ${names.join(', ')}`}`,
    { hint: 'see them all: cloudimg snapshot list' },
  )
}
