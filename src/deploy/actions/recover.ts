import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import type { Action } from '../action.ts'
import { oneOf } from '../discover.ts'
import type { Ends } from '../ends.ts'
import { type Everyone, findEveryone, recordFrom, withoutUnreachable } from '../everyone.ts'
import { newestUnfinished } from '../journal.ts'
import { isRecovering, judgeLostQuorum } from '../judges/datastore.ts'
import { type ReachOptions, stateHome } from '../options.ts'
import { goOnWithOther } from '../phases/restore.ts'
import type { ActionRequest } from '../request.ts'
import { waysOf } from '../ways.ts'

/** One server's data become the cluster's, where the majority is lost; whoever of the others is there joins it again. */
export const recoverAction: Action = {
  name: 'recover',
  phases: goOnWithOther,
  judges: [judgeLostQuorum],
  leaves: 'cluster',
}

export interface RecoverOptions extends ReachOptions {
  /** The one whose data count, as it is reached or by node name. */
  readonly server: string
  /** Do without these machines: their servers are forgotten. */
  readonly forceUnreachable?: readonly string[]
  /** Although a majority is there. */
  readonly force?: boolean
}

const ways = waysOf(recoverAction, requestOf)
export const planRecover = ways.plan
export const recoverCluster = ways.perform
/** Takes an unfinished recovery back, while nothing was started on it yet. @throws as `undoAction` does. */
export const undoRecover = ways.undo

async function requestOf(options: RecoverOptions, ends: Ends, ctx: Context): Promise<ActionRequest> {
  const { server, forceUnreachable = [], force = false, ...reach } = options
  const { id, nodes, answering } = await everyoneFrom(server, reach, ends, ctx)
  const named = oneOf(nodes, server)
  const { reached, lost } = withoutUnreachable(nodes, forceUnreachable)
  if (named.role !== 'server' || !reached.includes(named))
    throw new CloudimgError('USAGE', `recovering with "${server}": it is no server that can be reached`, {
      hint: 'name a server whose data shall count',
    })
  const unfinished = await newestUnfinished(join(reach.stateHome ?? stateHome(), id))
  const underWay = isRecovering(unfinished?.lines.find(line => line.event === 'begin')?.command)
  const work = { server: named.address.name, answering, forced: force, underWay, lost }
  return {
    ...reach,
    inventory: reached,
    datastore: { kind: 'recover', ...work },
  }
}

/** Whether anybody answers counts, so all that the operator knows are asked, not the named server alone. */
async function everyoneFrom(server: string, reach: ReachOptions, ends: Ends, ctx: Context): Promise<Everyone> {
  const record = await recordFrom(server, reach, ends, ctx)
  return await findEveryone(record === undefined ? { server } : { cluster: record.id }, reach, ends, ctx)
}
