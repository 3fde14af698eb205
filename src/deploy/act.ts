import type { Context } from '../core/context.ts'
import type { DeployStep } from '../runtime/step.ts'
import type { Action } from './action.ts'
import { applyPhase, commandText, withOperation } from './carry-out.ts'
import { withClaim } from './claim.ts'
import { dropClusterRecord, hostText, type RecordedHost, updateClusterRecord } from './cluster-record.ts'
import type { Ends } from './ends.ts'
import { isUnfinished, type Journal } from './journal.ts'
import { adoptOperation } from './mirror.ts'
import { fetchKubeconfig } from './phases/kubeconfig.ts'
import { preflight } from './phases/preflight.ts'
import { verify } from './phases/verify.ts'
import { type Plan, stepsOf } from './plan.ts'
import { type Prepared, withPrepared } from './prepare.ts'
import { holds, hostNamed } from './probe.ts'
import type { ActionRequest } from './request.ts'

export interface ActionResult {
  readonly cluster: string
  readonly version: string | undefined
  readonly changed: boolean
  /** The operation's id; absent where there was nothing to do. */
  readonly op: string | undefined
  readonly journal: string | undefined
  /** Absent where no cluster is left. */
  readonly kubeconfig: string | undefined
  /** Those that are in the cluster now, then those that were. */
  readonly hosts: readonly HostResult[]
}

export interface HostResult {
  readonly host: string
  readonly role: string
  readonly name: string
  readonly address: string
  readonly changed: boolean
}

export interface PlanResult {
  readonly plan: Plan
  /** Ids of the steps that would change something now. */
  readonly pending: readonly string[]
}

/** The dry run: connects, looks, plans. Changes nothing, and does not refuse: errors stand among the findings. */
export async function planAction(
  action: Action,
  request: ActionRequest,
  ends: Ends,
  ctx: Context,
): Promise<PlanResult> {
  return await withPrepared(action, request, ends, ctx, async prepared => {
    const refused = prepared.plan.findings.some(finding => finding.severity === 'error')
    const pending = refused ? stepsOf(prepared.plan) : await pendingSteps(prepared, ctx)
    return { plan: prepared.plan, pending: pending.map(step => step.id) }
  })
}

/**
 * Brings about what the action says, or finds that it is so. Nothing is changed before every check that can refuse has run; the
 * same command again goes on where a failure stopped it, and changes nothing where all is done.
 * @throws PHASE_FAILED with `data.changed` once changes have begun; before that, what was wrong, as it is.
 */
export async function performAction(
  action: Action,
  request: ActionRequest,
  ends: Ends,
  ctx: Context,
): Promise<ActionResult> {
  return await withPrepared(action, request, ends, ctx, async prepared => {
    preflight(prepared.plan.findings, ctx)
    await adopt(prepared, ctx)
    const result = await bringAbout(prepared, ctx)
    if (action.leaves === 'nothing') await dropClusterRecord(prepared.directory)
    return result
  })
}

async function bringAbout(prepared: Prepared, ctx: Context): Promise<ActionResult> {
  if (!(await isUnfinished(prepared.directory, commandText(prepared))) && (await isDone(prepared, ctx)))
    return resultOf(prepared, { changed: new Set(), kubeconfig: await confirm(prepared, ctx) })
  await prepared.request.approve?.(prepared.plan)
  return await withClaim(prepared.directory, () => change(prepared, ctx))
}

/** What another operator has begun with these very words is ours to finish. */
export async function adopt(prepared: Prepared, ctx: Context): Promise<void> {
  const { situation, hosts, directory } = prepared
  const seen = situation.nodes.map(node => ({ host: hostNamed(hosts, node.host), facts: node.facts }))
  await adoptOperation(seen, { directory, command: commandText(prepared) }, ctx)
}

/** Lock, the plan's phases in their order, Verify, Kubeconfig, Unlock; every change through the door. */
async function change(prepared: Prepared, ctx: Context): Promise<ActionResult> {
  await record(prepared, [])
  return await withOperation(prepared, ctx, async (operation, ctx) => {
    for (const phase of prepared.plan.phases) await applyPhase(phase, prepared, operation, ctx)
    const kubeconfig = await confirm(prepared, ctx)
    return resultOf(prepared, { changed: operation.changed, kubeconfig, journal: operation.journal })
  })
}

async function isPending(step: DeployStep, prepared: Prepared, ctx: Context): Promise<boolean> {
  return !(await holds(step.done, hostNamed(prepared.hosts, step.host), prepared, ctx))
}

async function pendingSteps(prepared: Prepared, ctx: Context): Promise<readonly DeployStep[]> {
  const pending: DeployStep[] = []
  for (const step of stepsOf(prepared.plan)) if (await isPending(step, prepared, ctx)) pending.push(step)
  return pending
}

async function isDone(prepared: Prepared, ctx: Context): Promise<boolean> {
  for (const step of stepsOf(prepared.plan)) if (await isPending(step, prepared, ctx)) return false
  return true
}

/** The end of the story, whether anything was changed or not. */
async function confirm(prepared: Prepared, ctx: Context): Promise<string | undefined> {
  if (prepared.action.leaves === 'nothing') return undefined
  await verify(prepared, ctx)
  const { nodes, leaving, forgotten } = prepared.plan
  const staying = new Set(nodes.map(node => node.name))
  await record(
    prepared,
    [...leaving.map(node => node.name), ...forgotten].filter(name => !staying.has(name)),
  )
  return await fetchKubeconfig(prepared, ctx)
}

/** From the first change on, so that whoever resumes finds everyone. */
async function record({ directory, plan, connected }: Prepared, gone: readonly string[]): Promise<void> {
  const hosts = [...plan.nodes, ...plan.leaving].flatMap(({ host, role, name, address }): readonly RecordedHost[] => {
    const reached = connected.find(entry => entry.address.name === host)
    return reached === undefined || gone.includes(name)
      ? []
      : [{ host: hostText(reached.address), role, name, address }]
  })
  const removed = plan.action === 'delete' ? plan.forgotten.filter(name => gone.includes(name)) : []
  await updateClusterRecord(directory, plan.cluster, hosts, gone, removed)
}

function resultOf(
  { plan, situation }: Prepared,
  outcome: {
    readonly changed: ReadonlySet<string>
    readonly kubeconfig: string | undefined
    readonly journal?: Journal
  },
): ActionResult {
  return {
    cluster: plan.cluster,
    version: situation.rootfs[0].platform.metadata.version,
    changed: outcome.changed.size > 0,
    op: outcome.journal?.op,
    journal: outcome.journal?.path,
    kubeconfig: outcome.kubeconfig,
    hosts: [...plan.nodes, ...plan.leaving].map(({ host, role, name, address }) => ({
      host,
      role,
      name,
      address,
      changed: outcome.changed.has(host),
    })),
  }
}
