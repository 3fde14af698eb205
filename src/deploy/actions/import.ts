import type { Context } from '../../core/context.ts'
import { type ActionResult, performAction, planAction, type PlanResult } from '../act.ts'
import type { Action } from '../action.ts'
import { type ClusterChoice, findCluster } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import type { ReachOptions } from '../options.ts'
import { healAgents, healServers } from '../phases/heal-images.ts'
import type { ActionRequest } from '../request.ts'

/** Every node has the container images of its rootfs again, from what lies on it: nothing is sent. */
export const importAction: Action = {
  name: 'import',
  phases: [healServers, healAgents],
  judges: [],
  leaves: 'cluster',
}

export interface ImportOptions extends ReachOptions {
  readonly choice: ClusterChoice
}

export async function planImport(options: ImportOptions, ctx: Context, ends: Ends = realEnds): Promise<PlanResult> {
  return await planAction(importAction, await requestOf(options, ends, ctx), ends, ctx)
}

/** @throws as `performAction` does. */
export async function importImages(options: ImportOptions, ctx: Context, ends: Ends = realEnds): Promise<ActionResult> {
  return await performAction(importAction, await requestOf(options, ends, ctx), ends, ctx)
}

async function requestOf({ choice, ...reach }: ImportOptions, ends: Ends, ctx: Context): Promise<ActionRequest> {
  const { nodes } = await findCluster(choice, reach, ends, ctx)
  return { ...reach, inventory: nodes }
}
