import type { ActionResult, PlanResult } from '../deploy/act.ts'
import { formatPlan } from '../deploy/plan-text.ts'
import type { UndoResult } from '../deploy/undo.ts'
import type { ActionFlags } from './reach-options.ts'
import type { Session } from './session.ts'

/** The three ways to call an action. */
export interface ActionCalls<T extends ActionResult> {
  readonly plan: () => Promise<PlanResult>
  readonly perform: () => Promise<T>
  /** What people read in the end; who is in the cluster unless told. */
  readonly describe?: (result: T) => string
  /** Absent where nothing can be taken back. */
  readonly undo?: () => Promise<UndoResult>
}

/** Plans, undoes or performs, as the flags say, and answers. Returns the exit code. */
export async function carryOutAction<T extends ActionResult>(
  session: Session,
  flags: ActionFlags,
  calls: ActionCalls<T>,
): Promise<number> {
  if (flags.dryRun === true) return showPlan(session, flags, await calls.plan())
  if (flags.undo === true && calls.undo !== undefined) {
    const result = await calls.undo()
    session.answer({ ok: true, changed: result.undone.length > 0, code: 0, ...result }, () => describeUndo(result))
    return 0
  }
  const result = await calls.perform()
  session.answer({ ok: true, code: 0, ...result }, () => (calls.describe ?? describeResult)(result))
  return 0
}

function showPlan(session: Session, flags: ActionFlags, { plan, pending }: PlanResult): number {
  session.answer({ ok: true, changed: false, code: 0, plan, pending }, () => formatPlan(plan, pending))
  if (plan.findings.some(finding => finding.severity === 'error')) return 7
  return flags.exitCode === true && pending.length > 0 ? 9 : 0
}

function describeUndo({ cluster, undone }: UndoResult): string {
  return undone.length === 0
    ? `cluster ${cluster}: nothing had been begun`
    : `cluster ${cluster}: taken back:\n${undone.map(step => `  ${step}`).join('\n')}`
}

function describeResult(result: ActionResult): string {
  const hosts = result.hosts.map(
    host =>
      `  ${host.name.padEnd(20)} ${host.role.padEnd(7)} ${host.address.padEnd(16)} ${host.changed ? 'changed' : 'as it was'}`,
  )
  const is = result.kubeconfig === undefined ? 'is gone' : 'is up'
  const head = `cluster ${result.cluster} ${is}${result.changed ? '' : ', nothing was changed'}`
  const version = result.version === undefined || result.kubeconfig === undefined ? '' : ` (${result.version})`
  const next = result.kubeconfig === undefined ? [] : ['', `next: kubectl --kubeconfig ${result.kubeconfig} get nodes`]
  return [`${head}${version}`, ...hosts, ...next].join('\n')
}
