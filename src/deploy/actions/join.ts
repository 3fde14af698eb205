import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import type { Action } from '../action.ts'
import { type ClusterChoice, findCluster } from '../discover.ts'
import type { Ends } from '../ends.ts'
import { type InventoryEntry, parseEntries } from '../inventory.ts'
import type { HostLists, RunOptions } from '../options.ts'
import type { ActionRequest } from '../request.ts'
import { judgeConfigKept } from '../judges/config.ts'
import { nodeJudges, runAction } from './run.ts'
import { waysOf } from '../ways.ts'

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

const ways = waysOf(joinAction, requestOf)
export const planJoin = ways.plan
export const joinHosts = ways.perform
/** Takes an unfinished join back. @throws as `undoAction` does. */
export const undoJoin = ways.undo

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
