import type { Context } from '../../core/context.ts'
import type { Action } from '../action.ts'
import type { ClusterChoice } from '../discover.ts'
import type { Ends } from '../ends.ts'
import { findEveryone } from '../everyone.ts'
import { judgeOutsideData } from '../judges/datastore.ts'
import { judgeVolumesOfAll } from '../judges/volumes.ts'
import type { ReachOptions } from '../options.ts'
import { resetAgents, resetServers } from '../phases/reset-hosts.ts'
import type { ActionRequest } from '../request.ts'
import { waysOf } from '../ways.ts'

/** The whole cluster goes, data included; its machines are what they were before. */
export const resetAction: Action = {
  name: 'reset',
  phases: [resetAgents, resetServers],
  judges: [judgeVolumesOfAll, judgeOutsideData],
  leaves: 'nothing',
}

export interface ResetOptions extends ReachOptions {
  readonly choice: ClusterChoice
}

const ways = waysOf(resetAction, requestOf)
export const planReset = ways.plan
export const resetCluster = ways.perform

async function requestOf({ choice, ...reach }: ResetOptions, ends: Ends, ctx: Context): Promise<ActionRequest> {
  return { ...reach, inventory: (await findEveryone(choice, reach, ends, ctx)).nodes }
}
