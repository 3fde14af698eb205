import type { Context } from '../../core/context.ts'
import type { ActionResult } from '../act.ts'
import type { Action } from '../action.ts'
import { type ClusterChoice, findCluster } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import { judgeOutsideBackup } from '../judges/datastore.ts'
import { judgeQuorum } from '../judges/quorum.ts'
import { judgeRegistry } from '../judges/registry.ts'
import { judgeVersions } from '../judges/versions.ts'
import type { RegistryChoice, RunOptions } from '../options.ts'
import { apply } from '../phases/apply.ts'
import { images } from '../phases/images.ts'
import { pushImages } from '../phases/push-images.ts'
import { send } from '../phases/send.ts'
import { serveImages } from '../phases/serve-images.ts'
import { snapshot } from '../phases/snapshot.ts'
import { upgradeAgents, upgradeServers } from '../phases/upgrade-nodes.ts'
import { judgeMachines } from '../preflight.ts'
import type { ActionRequest } from '../request.ts'
import { withWayBack } from '../way-back.ts'
import { waysOf } from '../ways.ts'

/** Every node runs the new image: servers one by one, then agents. Whatever can be done before anything is live is done before. */
export const upgradeAction: Action = {
  name: 'upgrade',
  phases: [pushImages, snapshot, send, upgradeServers, serveImages, upgradeAgents, images, apply],
  judges: [judgeVersions, judgeQuorum, judgeMachines, judgeRegistry, judgeOutsideBackup],
  leaves: 'cluster',
}

export interface UpgradeRequest extends Omit<RunOptions, 'hosts' | 'cluster' | 'fixes'> {
  readonly choice: ClusterChoice
  /** What the cluster has, which is meant unless told; another one is refused. */
  readonly registry?: RegistryChoice
}

const ways = waysOf(upgradeAction, requestOf)
export const planUpgrade = ways.plan
/** Takes an unfinished upgrade back. @throws as `undoAction` does. */
export const undoUpgrade = ways.undo

export async function upgradeCluster(
  options: UpgradeRequest,
  ctx: Context,
  ends: Ends = realEnds,
): Promise<ActionResult> {
  try {
    return await ways.perform(options, ctx, ends)
  } catch (error) {
    throw await withWayBack(error, ends.now())
  }
}

async function requestOf(
  { choice, registry, ...options }: UpgradeRequest,
  ends: Ends,
  ctx: Context,
): Promise<ActionRequest> {
  const { nodes } = await findCluster(choice, options, ends, ctx)
  return { ...options, inventory: nodes, ...(registry && { cluster: { registry } }) }
}
