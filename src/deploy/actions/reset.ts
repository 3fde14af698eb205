import type { Context } from '../../core/context.ts'
import { type ActionResult, performAction, planAction, type PlanResult } from '../act.ts'
import type { Action } from '../action.ts'
import { addressOf, type ClusterChoice, findCluster } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import type { Inventory } from '../inventory.ts'
import { isCloudimgError } from '../../core/error.ts'
import { chooseCluster } from '../cluster-record.ts'
import { judgeVolumesOfAll } from '../judges/volumes.ts'
import { type ReachOptions, stateHome } from '../options.ts'
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
  return { ...reach, inventory: await everyone(choice, reach, ends, ctx) }
}

/** The operator's own list counts where no server answers any more: a reset that was cut off must find the rest. */
async function everyone(choice: ClusterChoice, reach: ReachOptions, ends: Ends, ctx: Context): Promise<Inventory> {
  const home = reach.stateHome ?? stateHome()
  const recorded = async (): Promise<Inventory> =>
    (await chooseCluster(home, choice.cluster)).hosts.map(({ host, role }) => ({ address: addressOf(host), role }))
  try {
    const { nodes, recorded: known } = await findCluster(choice, reach, ends, ctx)
    const missing = known.filter(({ name }) => !nodes.some(node => node.name === name))
    return [...nodes, ...missing.map(({ host, role }) => ({ address: addressOf(host), role }))]
  } catch (error) {
    if (choice.server !== undefined || !isCloudimgError(error) || error.code === 'CANCELLED') throw error
    return await recorded()
  }
}
