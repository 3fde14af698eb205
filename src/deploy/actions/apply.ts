import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { isCloudimgError } from '../../core/error.ts'
import type { Marks } from '../../runtime/runtime.ts'
import { type ActionResult, performAction, planAction, type PlanResult } from '../act.ts'
import type { Action } from '../action.ts'
import { type ClusterChoice, findCluster, type FoundCluster } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import type { DeclaredEnvironment } from '../environment.ts'
import type { Hooks } from '../hooks/hooks.ts'
import { keepHooks } from '../hooks/kept-hooks.ts'
import { parseInventory } from '../inventory.ts'
import { type RunOptions, stateHome } from '../options.ts'
import { unfinishedCommand } from '../journal.ts'
import { markNodes } from '../phases/mark-nodes.ts'
import { runClusterHooks, runHooks } from '../phases/run-hooks.ts'
import { type Plan, stepsOf } from '../plan.ts'
import type { ActionRequest } from '../request.ts'
import { undoAction, type UndoResult } from '../undo.ts'
import { deleteHosts, planDelete } from './delete.ts'
import { phasesWith, runAction } from './run.ts'
import { clusterStatus } from './status.ts'
import { planUpgrade, upgradeCluster } from './upgrade.ts'

export interface ApplyOptions extends RunOptions {
  /** By machine, as it is named. */
  readonly marks: ReadonlyMap<string, Marks>
  /** None unless told. */
  readonly env?: DeclaredEnvironment
  readonly hooks?: Hooks
  /** Nodes that are not declared leave the cluster; they are only named unless told. */
  readonly prune?: boolean
  /** Asked before nodes are switched to another image. */
  readonly approveUpgrade?: (plan: Plan) => Promise<void>
  /** Asked before nodes are restarted for their configuration: with a plan that may restart none. */
  readonly approveRestart?: (plan: Plan) => Promise<void>
  /** Asked before nodes leave. */
  readonly approvePrune?: (plan: Plan) => Promise<void>
}

/** What there is, against what is declared. */
export interface Comparison {
  /** Nodes that are to be: hosts, as they are named. */
  readonly missing: readonly string[]
  /** Nodes of the cluster that are not declared, by name. */
  readonly surplus: readonly string[]
  /** Hosts that run another image than the one that is declared. */
  readonly outdated: readonly string[]
  /** Configuration that is to be another one: `- line`, `+ line`, secrets hidden. */
  readonly config: readonly { readonly host: string; readonly lines: readonly string[] }[]
  /** Labels and taints that are to be set or taken away, in words, a node each. */
  readonly marks: readonly string[]
}

export interface ApplyPlan extends Comparison {
  /** What becomes and stays of the declared hosts: joins, labels, taints, manifests. */
  readonly converge: PlanResult
  /** Absent where all nodes run the image already. */
  readonly upgrade?: PlanResult
  /** Absent where nobody is to leave. */
  readonly prune?: PlanResult
  /** What is not as it was set up, in words; on hosts and in the cluster. */
  readonly drift: readonly string[]
}

export type ApplyResult = ActionResult & Pick<Comparison, 'surplus'>

/** `run`, and what its nodes are marked with. A run that was cut off is finished by an apply of the same hosts, and the other way round. */
function actionWith({ marks, hooks = {} }: ApplyOptions): Action {
  const phases = phasesWith({
    beforeStart: [runHooks('beforeInstall', hooks), keepHooks(hooks)],
    afterStart: [runHooks('afterInstall', hooks)],
    end: [markNodes(marks), runHooks('afterUp', hooks), runClusterHooks(hooks)],
  })
  return { ...runAction, phases }
}

/** The dry run, and what has drifted. Changes nothing. */
export async function planApply(options: ApplyOptions, ctx: Context, ends: Ends = realEnds): Promise<ApplyPlan> {
  const { converge, found, choice, comparison } = await compare(options, ends, ctx)
  const drift = found === undefined ? [] : await driftOf(choice, options, ends, ctx)
  const upgrade =
    comparison.outdated.length === 0
      ? undefined
      : await planUpgrade({ ...reachOf(options), image: options.image, choice }, ctx, ends)
  const { surplus } = comparison
  const prune =
    options.prune !== true || surplus.length === 0
      ? undefined
      : await planDelete({ ...reachOf(options), choice, hosts: surplus }, ctx, ends)
  return { ...comparison, converge, drift, ...(upgrade && { upgrade }), ...(prune && { prune }) }
}

/**
 * The cluster becomes what is declared: nodes are switched to its image, hosts that are no nodes yet join, all are marked; then,
 * where it was asked for, nodes that are not declared leave.
 * @throws as `performAction` does; PHASE_FAILED where a later part fails.
 */
export async function applyCluster(options: ApplyOptions, ctx: Context, ends: Ends = realEnds): Promise<ApplyResult> {
  const { converge, choice, comparison } = await compare(options, ends, ctx)
  const surplus = options.prune === true ? comparison.surplus : []
  const removal = { ...reachOf(options), choice, hosts: surplus }
  // Whoever says no to a part of it has said so before anything is changed.
  await options.approveRestart?.(converge.plan)
  if (surplus.length > 0) await options.approvePrune?.((await planDelete(removal, ctx, ends)).plan)
  const changed: boolean[] = []
  if (comparison.outdated.length > 0 || (await isUpgrading(converge.plan, options))) {
    const { approveUpgrade: approve, image } = options
    const upgrade = { ...reachOf(options), image, choice, ...(approve && { approve }) }
    changed.push((await upgradeCluster(upgrade, ctx, ends)).changed)
  }
  const result = await performAction(actionWith(options), requestOf(options), ends, ctx)
  if (surplus.length > 0) changed.push((await deleteHosts(removal, ctx, ends)).changed)
  const left = comparison.surplus.filter(name => !surplus.includes(name))
  warnOfSurplus(left, ctx)
  return { ...result, changed: result.changed || changed.includes(true), surplus: left }
}

/** An upgrade that was cut off at its very end holds the hosts, though every node runs the image by now. */
async function isUpgrading({ cluster }: Plan, { image, stateHome: home }: ApplyOptions): Promise<boolean> {
  const command = await unfinishedCommand(join(home ?? stateHome(), cluster))
  if (command === undefined) return false
  const { action, image: digest } = JSON.parse(command) as { readonly action: string; readonly image?: string }
  return action === 'upgrade' && digest === image.digest
}

/** Hosts become the cluster that is declared, without a look at what else belongs to it. */
export async function runDeclared(options: ApplyOptions, ctx: Context, ends: Ends = realEnds): Promise<ActionResult> {
  return await performAction(actionWith(options), requestOf(options), ends, ctx)
}

export async function planDeclared(options: ApplyOptions, ctx: Context, ends: Ends = realEnds): Promise<PlanResult> {
  return await planAction(actionWith(options), requestOf(options), ends, ctx)
}

/** Takes an unfinished run back. @throws as `undoAction` does. */
export async function undoDeclared(options: ApplyOptions, ctx: Context, ends: Ends = realEnds): Promise<UndoResult> {
  return await undoAction(actionWith(options), requestOf(options), ends, ctx)
}

interface Compared {
  readonly converge: PlanResult
  readonly found: FoundCluster | undefined
  readonly choice: ClusterChoice
  readonly comparison: Comparison
}

/** Names count, not addresses: the plan has them from the machines themselves, and so has the cluster. */
async function compare(options: ApplyOptions, ends: Ends, ctx: Context): Promise<Compared> {
  const converge = await planDeclared(options, ctx, ends)
  const { plan } = converge
  const server = options.hosts?.servers
  const choices: readonly ClusterChoice[] = server?.map(name => ({ server: name })) ?? [{ cluster: plan.cluster }]
  for (const choice of choices) {
    const found = await findIfThere(choice, options, ends, ctx)
    if (found !== undefined) return { converge, found, choice, comparison: against(converge, found) }
  }
  return {
    converge,
    found: undefined,
    choice: choices[0]!,
    comparison: { ...differences(converge), missing: plan.nodes.map(({ host }) => host), surplus: [], outdated: [] },
  }
}

/** Pure. */
function against(converge: PlanResult, found: FoundCluster): Comparison {
  const { plan } = converge
  const there = new Set(found.nodes.map(({ name }) => name))
  const declared = new Set(plan.nodes.map(({ name }) => name))
  return {
    ...differences(converge),
    missing: plan.nodes.filter(({ name }) => !there.has(name)).map(({ host }) => host),
    surplus: found.nodes.map(({ name }) => name).filter(name => !declared.has(name)),
    outdated: plan.findings.filter(({ id }) => id === 'upgrade').map(({ host }) => host),
  }
}

function differences({ plan, pending }: PlanResult): Pick<Comparison, 'config' | 'marks'> {
  const due = new Set(pending)
  const steps = stepsOf(plan).filter(step => due.has(step.id))
  return {
    config: steps.flatMap(({ host, do: ops }) =>
      ops.flatMap(op => (op.op === 'file' && op.changes !== undefined ? [{ host, lines: op.changes }] : [])),
    ),
    marks: steps.filter(step => step.id.startsWith('mark/')).map(step => step.sentence),
  }
}

/** Undefined where this server belongs to no cluster, or to one that does not answer by it. */
async function findIfThere(
  choice: ClusterChoice,
  options: ApplyOptions,
  ends: Ends,
  ctx: Context,
): Promise<FoundCluster | undefined> {
  try {
    return await findCluster(choice, options, ends, ctx)
  } catch (error) {
    if (isCloudimgError(error) && ['HOST_UNSUITABLE', 'COMMAND_FAILED', 'USAGE'].includes(error.code)) return undefined
    throw error
  }
}

async function driftOf(
  choice: ClusterChoice,
  options: ApplyOptions,
  ends: Ends,
  ctx: Context,
): Promise<readonly string[]> {
  const { nodes, troubles } = await clusterStatus({ ...reachOf(options), choice }, ctx, ends)
  return [...troubles, ...nodes.flatMap(node => node.troubles.map(trouble => `${node.name}: ${trouble}`))]
}

function warnOfSurplus(surplus: readonly string[], ctx: Context): void {
  if (surplus.length === 0) return
  const message = `not declared, but in the cluster: ${surplus.join(', ')}`
  ctx.events({ kind: 'warning', code: 'surplus', message, hint: 'declare them, or let them go with --prune' })
}

function requestOf(options: ApplyOptions): ActionRequest {
  const { hosts, image, cluster, fixes, env } = options
  const inventory = parseInventory(hosts?.servers ?? [], hosts?.agents ?? [])
  const { approve } = options
  return {
    ...reachOf(options),
    inventory,
    image,
    ...(cluster && { cluster }),
    ...(fixes && { fixes }),
    ...(env && { env }),
    ...(approve && { approve }),
  }
}

function reachOf({
  ssh,
  limits,
  stateHome,
  wishes,
}: ApplyOptions): Pick<RunOptions, 'ssh' | 'limits' | 'stateHome' | 'wishes'> {
  return { ...(ssh && { ssh }), ...(limits && { limits }), ...(stateHome && { stateHome }), ...(wishes && { wishes }) }
}
