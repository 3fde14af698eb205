import type { Context } from '../../core/context.ts'
import { type ActionResult, performAction, planAction, type PlanResult } from '../act.ts'
import type { Action } from '../action.ts'
import { type Ends, realEnds } from '../ends.ts'
import { parseInventory } from '../inventory.ts'
import { judgeNames } from '../judges/names.ts'
import { judgeRegistry } from '../judges/registry.ts'
import { judgeServers } from '../judges/servers.ts'
import type { RunOptions } from '../options.ts'
import { apply } from '../phases/apply.ts'
import { fixHosts } from '../phases/fix-hosts.ts'
import { images } from '../phases/images.ts'
import { initCluster } from '../phases/init.ts'
import { install } from '../phases/install.ts'
import { joinAgents } from '../phases/join-agents.ts'
import { joinServers } from '../phases/join-servers.ts'
import { pushImages } from '../phases/push-images.ts'
import { send } from '../phases/send.ts'
import { serveImages } from '../phases/serve-images.ts'
import { judgeHosts } from '../preflight.ts'
import type { ActionRequest } from '../request.ts'
import { undoAction, type UndoResult } from '../undo.ts'

/** Hosts become a cluster, or are found to be one; those that are new to it join. */
export const runAction: Action = {
  name: 'run',
  phases: [pushImages, send, fixHosts, install, serveImages, initCluster, joinServers, joinAgents, images, apply],
  judges: [judgeHosts, judgeRegistry, judgeServers, judgeNames],
  leaves: 'cluster',
}

/** The dry run: connects, looks, plans. Changes nothing, and does not refuse: errors stand among the findings. */
export async function planCluster(options: RunOptions, ctx: Context, ends: Ends = realEnds): Promise<PlanResult> {
  return await planAction(runAction, requestOf(options), ends, ctx)
}

/** Makes the hosts a cluster, or finds that they are one. @throws as `performAction` does. */
export async function runCluster(options: RunOptions, ctx: Context, ends: Ends = realEnds): Promise<RunResult> {
  const result = await performAction(runAction, requestOf(options), ends, ctx)
  return { ...result, kubeconfig: result.kubeconfig! }
}

/** `run` always leaves a cluster. */
export type RunResult = ActionResult & { readonly kubeconfig: string }

/** Takes an unfinished run back. @throws as `undoAction` does. */
export async function undoRun(options: RunOptions, ctx: Context, ends: Ends = realEnds): Promise<UndoResult> {
  return await undoAction(runAction, requestOf(options), ends, ctx)
}

function requestOf({ hosts, ...options }: RunOptions): ActionRequest {
  return { ...options, inventory: parseInventory(hosts?.servers ?? [], hosts?.agents ?? []) }
}
