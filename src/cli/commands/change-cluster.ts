import { CloudimgError } from '../../core/error.ts'
import { deleteHosts, type DeleteOptions, planDelete, undoDelete } from '../../deploy/actions/delete.ts'
import { joinHosts, type JoinOptions, planJoin, undoJoin } from '../../deploy/actions/join.ts'
import { planReplace, replaceHost, type ReplaceOptions, undoReplace } from '../../deploy/actions/replace.ts'
import { planReset, resetCluster, type ResetOptions } from '../../deploy/actions/reset.ts'
import { planUpgrade, undoUpgrade, upgradeCluster, type UpgradeRequest } from '../../deploy/actions/upgrade.ts'
import { carryOutAction } from '../carry-out-action.ts'
import { agreedBy, confirmedBy } from '../consent.ts'
import { type ActionFlags, type ChoiceFlags, choiceOf, listOf, type ReachFlags, reachOf } from '../reach-options.ts'
import { registryChoice, type RegistryFlags } from '../registry-options.ts'
import type { Session } from '../session.ts'
import { imageOf, type NodeFlags, nodeOptions } from './run.ts'

/** `cloudimg join REF`: further hosts for a cluster that exists. */
export async function join(session: Session, reference: string, flags: NodeFlags & ChoiceFlags): Promise<number> {
  const options: JoinOptions = {
    image: await imageOf(session, reference, flags),
    choice: choiceOf(flags),
    hosts: { servers: listOf(flags.servers), agents: listOf(flags.agents) },
    ...(await nodeOptions(session, flags)),
  }
  return await carryOutAction(session, flags, {
    plan: () => planJoin(options, session.ctx),
    perform: () => joinHosts(options, session.ctx),
    undo: () => undoJoin(options, session.ctx),
  })
}

/** `cloudimg replace REF HOST`: a re-imaged host comes back under its name. */
export async function replace(
  session: Session,
  reference: string,
  host: string,
  flags: NodeFlags & ChoiceFlags,
): Promise<number> {
  const options: ReplaceOptions = {
    image: await imageOf(session, reference, flags),
    choice: choiceOf(flags),
    host,
    ...(await nodeOptions(session, flags)),
  }
  return await carryOutAction(session, flags, {
    plan: () => planReplace(options, session.ctx),
    perform: () => replaceHost(options, session.ctx),
    undo: () => undoReplace(options, session.ctx),
  })
}

export interface ConfirmFlags extends ReachFlags, ActionFlags, ChoiceFlags {
  readonly confirm?: string
  readonly forceUnreachable?: readonly string[]
}

/** `cloudimg delete HOST…`: nodes leave the cluster. */
export async function deleteNodes(session: Session, hosts: readonly string[], flags: ConfirmFlags): Promise<number> {
  const options: DeleteOptions = {
    choice: choiceOf(flags),
    hosts: listOf(hosts),
    forceUnreachable: listOf(flags.forceUnreachable),
    approve: confirmedBy(session, flags.confirm),
    ...(await reachOf(session, flags)),
  }
  return await carryOutAction(session, flags, {
    plan: () => planDelete(options, session.ctx),
    perform: () => deleteHosts(options, session.ctx),
    undo: () => undoDelete(options, session.ctx),
  })
}

/** `cloudimg reset`: the whole cluster goes. */
export async function reset(session: Session, flags: ConfirmFlags): Promise<number> {
  if (flags.undo === true)
    throw new CloudimgError('USAGE', 'reading --undo: nothing takes a reset back', {
      hint: 'run the same command without it',
    })
  const options: ResetOptions = {
    choice: choiceOf(flags),
    approve: confirmedBy(session, flags.confirm),
    ...(await reachOf(session, flags)),
  }
  return await carryOutAction(session, flags, {
    plan: () => planReset(options, session.ctx),
    perform: () => resetCluster(options, session.ctx),
  })
}

export interface UpgradeFlags extends ReachFlags, ActionFlags, ChoiceFlags, RegistryFlags {
  readonly yes?: boolean
  readonly drain?: boolean
  readonly maxUnavailable?: number
  readonly allowStandIn?: boolean
  readonly fanout?: boolean
  readonly pull?: boolean
}

/** `cloudimg upgrade REF`: every node runs the new image. */
export async function upgrade(session: Session, reference: string, flags: UpgradeFlags): Promise<number> {
  const { drain, maxUnavailable, allowStandIn, fanout, registryPush } = flags
  const registry = await registryChoice(flags, session.terminal.env)
  const options: UpgradeRequest = {
    image: await imageOf(session, reference, flags),
    choice: choiceOf(flags),
    approve: agreedBy(session, flags.yes === true),
    ...(registry === undefined ? {} : { registry }),
    wishes: {
      ...(drain === true ? { drain } : {}),
      ...(maxUnavailable === undefined ? {} : { maxUnavailable }),
      ...(allowStandIn === true ? { allowStandIn } : {}),
      ...(fanout === true ? { fanOut: true } : {}),
      ...(registryPush === true ? { registryPush } : {}),
    },
    ...(await reachOf(session, flags)),
  }
  return await carryOutAction(session, flags, {
    plan: () => planUpgrade(options, session.ctx),
    perform: () => upgradeCluster(options, session.ctx),
    undo: () => undoUpgrade(options, session.ctx),
  })
}
