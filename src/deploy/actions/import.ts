import type { Context } from '../../core/context.ts'
import type { Action } from '../action.ts'
import { type ClusterChoice, findCluster } from '../discover.ts'
import type { Ends } from '../ends.ts'
import type { ReachOptions } from '../options.ts'
import { healAgents, healServers } from '../phases/heal-images.ts'
import type { ActionRequest } from '../request.ts'
import { waysOf } from '../ways.ts'

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

const ways = waysOf(importAction, requestOf)
export const planImport = ways.plan
export const importImages = ways.perform

async function requestOf({ choice, ...reach }: ImportOptions, ends: Ends, ctx: Context): Promise<ActionRequest> {
  const { nodes } = await findCluster(choice, reach, ends, ctx)
  return { ...reach, inventory: nodes }
}
