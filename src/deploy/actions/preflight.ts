import type { Context } from '../../core/context.ts'
import type { Finding } from '../../runtime/finding.ts'
import { planAction } from '../act.ts'
import type { Action } from '../action.ts'
import { type Ends, realEnds } from '../ends.ts'
import { parseInventory } from '../inventory.ts'
import type { RunOptions } from '../options.ts'
import type { PlanNode } from '../plan.ts'
import { runAction } from './run.ts'

/** What `run` judges, and nothing that it does. */
const lookAction: Action = { ...runAction, phases: [] }

export interface PreflightOptions extends Omit<RunOptions, 'image'> {
  /** Without one, what it would bring is not judged: room on the disks, and whether it is whole. */
  readonly image?: RunOptions['image']
}

export interface PreflightResult {
  readonly hosts: readonly Pick<PlanNode, 'host' | 'role' | 'name' | 'address'>[]
  /** Errors first. */
  readonly findings: readonly Finding[]
}

/** Looks at machines as `run` would before its first change. Changes nothing and locks nothing. */
export async function checkHosts(
  options: PreflightOptions,
  ctx: Context,
  ends: Ends = realEnds,
): Promise<PreflightResult> {
  const { hosts, ...request } = options
  const inventory = parseInventory(hosts?.servers ?? [], hosts?.agents ?? [])
  const { plan } = await planAction(lookAction, { ...request, inventory }, ends, ctx)
  const judged = plan.findings.filter(
    ({ id }) => options.image !== undefined || !['image', 'registry-program'].includes(id),
  )
  return {
    hosts: plan.nodes.map(({ host, role, name, address }) => ({ host, role, name, address })),
    findings: judged,
  }
}
