import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import type { Action } from '../action.ts'
import type { ClusterChoice } from '../discover.ts'
import type { Ends } from '../ends.ts'
import { findEveryone, withoutUnreachable } from '../everyone.ts'
import { judgeOwnDatastore, judgeSnapshot } from '../judges/datastore.ts'
import { type KeptSnapshot, listKeptSnapshots, openKeptSnapshot } from '../kept-snapshots.ts'
import { type ReachOptions, stateHome } from '../options.ts'
import { bringSnapshot, goOnWithOther } from '../phases/restore.ts'
import type { ActionRequest } from '../request.ts'
import { waysOf } from '../ways.ts'

/** The cluster goes on with the state that it had when a snapshot was taken. */
export const restoreAction: Action = {
  name: 'restore',
  phases: [bringSnapshot, ...goOnWithOther],
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

const ways = waysOf(restoreAction, requestOf)
export const planRestore = ways.plan
export const restoreSnapshot = ways.perform
/** Takes an unfinished restore back, while the old datastore is still the only one that was used. @throws as `undoAction` does. */
export const undoRestore = ways.undo

async function requestOf(
  { choice, snapshot: asked, forceUnreachable = [], ...reach }: RestoreOptions,
  ends: Ends,
  ctx: Context,
): Promise<ActionRequest> {
  const everyone = await findEveryone(choice, reach, ends, ctx)
  const kept = await findKept(asked, join(reach.stateHome ?? stateHome(), everyone.id))
  const { digest, size, isZip, token, file } = await openKeptSnapshot(kept)
  const { id, cluster, node, takenAt, datastore, version } = kept
  const { reached, lost } = withoutUnreachable(everyone.nodes, forceUnreachable)
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
