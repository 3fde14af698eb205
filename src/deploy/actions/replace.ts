import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import type { Action, ActionJudge } from '../action.ts'
import { addressOnceKnown, type ClusterChoice, findCluster, findNode } from '../discover.ts'
import type { Ends } from '../ends.ts'
import { judgeQuorum } from '../judges/quorum.ts'
import type { RunOptions } from '../options.ts'
import { forget } from '../phases/forget.ts'
import type { ActionRequest } from '../request.ts'
import { joinAction } from './join.ts'
import { runAction } from './run.ts'
import { waysOf } from '../ways.ts'

/** The new machine must bear the old one's name, or the cluster would have a node that nobody asked for. */
const judgeReplaced: ActionJudge = ({ nodes, forgotten }) =>
  forgotten
    .filter(member => !nodes.some(node => node.name === member.name))
    .map(member => {
      const { host, name } = nodes.at(-1)!
      const message = `its host name is "${name}", the node that it shall replace is "${member.name}"`
      return { id: 'other-name', host, severity: 'error', message, fix: `hostnamectl set-hostname ${member.name}` }
    })

/** A machine that was imaged anew comes back under its name: the cluster must forget the old one first. */
export const replaceAction: Action = {
  ...runAction,
  name: 'replace',
  phases: [forget, ...joinAction.phases],
  judges: [judgeReplaced, judgeQuorum, ...joinAction.judges],
}

export interface ReplaceOptions extends Omit<RunOptions, 'hosts'> {
  readonly choice: ClusterChoice
  /** The machine, as it is reached now; its host name is that of the node. */
  readonly host: string
}

const ways = waysOf(replaceAction, requestOf)
export const planReplace = ways.plan
export const replaceHost = ways.perform
/** Takes an unfinished replace back. @throws as `undoAction` does. */
export const undoReplace = ways.undo

async function requestOf(
  { choice, host, ...options }: ReplaceOptions,
  ends: Ends,
  ctx: Context,
): Promise<ActionRequest> {
  const cluster = await findCluster(choice, options, ends, ctx)
  const [server] = cluster.nodes
  const old = findNode(cluster.nodes, host)
  // Forgotten already by a command that was cut off: the operator remembers what it was.
  const address = old?.address ?? addressOnceKnown(cluster, host)
  const before = old ?? cluster.recorded.find(entry => entry.host === host || entry.name === host)
  if (before === undefined)
    throw new CloudimgError(
      'USAGE',
      `replacing "${host}": the cluster has ${cluster.nodes.map(({ name }) => name).join(', ')}`,
      {
        hint: 'a new machine is added with cloudimg join',
      },
    )
  if (before.name === server.name)
    throw new CloudimgError('USAGE', `replacing "${host}": it answers as the server that was asked`, {
      hint: 'name another server with --server',
    })
  const joining = { address, role: before.role }
  // Members whose machine is the new one are forgotten while they are the old one: once it is a node of ours, it is done.
  return { ...options, inventory: [{ address: server.address, role: 'server' }, joining], forgotten: [before.name] }
}
