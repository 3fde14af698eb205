import type { Context } from '../../core/context.ts'
import { type ActionResult, performAction, planAction, type PlanResult } from '../act.ts'
import type { Action } from '../action.ts'
import type { ClusterChoice } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import { everyone } from '../everyone.ts'
import { judgeVolumesOfAll } from '../judges/volumes.ts'
import type { ReachOptions } from '../options.ts'
import { resetAgents, resetServers } from '../phases/reset-hosts.ts'
import type { ActionRequest } from '../request.ts'

/** The whole cluster goes, data included; its machines are what they were before. */
export const resetAction: Action = {
  name: 'reset',
  phases: [resetAgents, resetServers],
  judges: [judgeVolumesOfAll],
  leaves: 'nothing',
}

export interface ResetOptions extends ReachOptions {
  readonly choice: ClusterChoice
}

export async function planReset(options: ResetOptions, ctx: Context, ends: Ends = realEnds): Promise<PlanResult> {
  return await planAction(resetAction, await requestOf(options, ends, ctx), ends, ctx)
}

export async function resetCluster(options: ResetOptions, ctx: Context, ends: Ends = realEnds): Promise<ActionResult> {
  return await performAction(resetAction, await requestOf(options, ends, ctx), ends, ctx)
}

async function requestOf({ choice, ...reach }: ResetOptions, ends: Ends, ctx: Context): Promise<ActionRequest> {
  const { nodes } = await everyone(choice, reach, ends, ctx)
  return { ...reach, inventory: nodes }
}
