import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { type ActionResult, performAction, planAction, type PlanResult } from '../act.ts'
import type { Action } from '../action.ts'
import { type ClusterChoice, findCluster } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import { type InventoryEntry, parseEntries } from '../inventory.ts'
import type { HostLists, RunOptions } from '../options.ts'
import type { ActionRequest } from '../request.ts'
import { undoAction, type UndoResult } from '../undo.ts'
import { judgeConfigKept } from '../judges/config.ts'
import { nodeJudges, runAction } from './run.ts'

/** Further machines for a cluster that exists: what `run` would do with them, without naming the others. Nobody is restarted. */
export const joinAction: Action = {
  ...runAction,
  name: 'join',
  phases: runAction.phases.filter(phase => phase.restarts !== true),
  judges: [...nodeJudges, judgeConfigKept],
}

export interface JoinOptions extends Omit<RunOptions, 'hosts'> {
  readonly choice: ClusterChoice
  readonly hosts: HostLists
}

export async function planJoin(options: JoinOptions, ctx: Context, ends: Ends = realEnds): Promise<PlanResult> {
  return await planAction(joinAction, await requestOf(options, ends, ctx), ends, ctx)
}

export async function joinHosts(options: JoinOptions, ctx: Context, ends: Ends = realEnds): Promise<ActionResult> {
  return await performAction(joinAction, await requestOf(options, ends, ctx), ends, ctx)
}

/** Takes an unfinished join back. @throws as `undoAction` does. */
export async function undoJoin(options: JoinOptions, ctx: Context, ends: Ends = realEnds): Promise<UndoResult> {
  return await undoAction(joinAction, await requestOf(options, ends, ctx), ends, ctx)
}

async function requestOf({ choice, hosts, ...options }: JoinOptions, ends: Ends, ctx: Context): Promise<ActionRequest> {
  const added = parseEntries(hosts.servers, hosts.agents)
  if (added.length === 0)
    throw new CloudimgError('USAGE', 'joining a cluster: no host is named', {
      hint: 'name them with --agents HOST or --servers HOST',
    })
  const [server] = (await findCluster(choice, options, ends, ctx)).nodes
  const first: InventoryEntry = { address: server.address, role: 'server' }
  return { ...options, inventory: [first, ...added.filter(entry => entry.address.name !== server.address.name)] }
}
