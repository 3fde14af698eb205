import {
  applyCluster,
  type ApplyPlan,
  planApply,
  planDeclared,
  runDeclared,
  undoDeclared,
} from '../../deploy/actions/apply.ts'
import { reachAsDeclared } from '../../deploy/clusterfile/declared-cluster.ts'
import { realEnds } from '../../deploy/ends.ts'
import { CloudimgError } from '../../core/error.ts'
import { formatPlan } from '../../deploy/plan-text.ts'
import { carryOutAction } from '../carry-out-action.ts'
import { declaredOptions } from '../clusterfile-options.ts'
import { agreedBy, agreedToRestart, confirmedBy } from '../consent.ts'
import type { Session } from '../session.ts'
import type { NodeFlags } from './run.ts'

/** `cloudimg run [REF] -f FILE`: as `run`, with what the file declares. */
export async function runFile(
  session: Session,
  path: string,
  reference: string | undefined,
  flags: NodeFlags,
): Promise<number> {
  const { options: given, ssh } = await declaredOptions(session, path, flags, reference)
  const options = { ...given, approve: agreedToRestart(session, flags.yes === true) }
  const ends = reachAsDeclared(realEnds, ssh)
  return await carryOutAction(session, flags, {
    plan: () => planDeclared(options, session.ctx, ends),
    perform: () => runDeclared(options, session.ctx, ends),
    undo: () => undoDeclared(options, session.ctx, ends),
  })
}

export interface ApplyFlags extends NodeFlags {
  readonly file: string
  readonly prune?: boolean
  readonly yes?: boolean
  readonly confirm?: string
  readonly drain?: boolean
}

/** `cloudimg apply -f FILE`: the cluster becomes what the file declares. */
export async function apply(session: Session, flags: ApplyFlags): Promise<number> {
  const { options, ssh } = await declaredOptions(session, flags.file, flags)
  const ends = reachAsDeclared(realEnds, ssh)
  const asked = {
    ...options,
    wishes: { ...options.wishes, ...(flags.drain === true ? { drain: true } : {}) },
    prune: flags.prune === true,
    approveRestart: agreedToRestart(session, flags.yes === true),
    approveUpgrade: agreedBy(session, flags.yes === true),
    approvePrune: confirmedBy(session, flags.confirm),
  }
  if (flags.dryRun === true) return showApplyPlan(session, flags, await planApply(asked, session.ctx, ends))
  return await carryOutAction(session, flags, {
    plan: () => planDeclared(asked, session.ctx, ends),
    perform: () => applyCluster(asked, session.ctx, ends),
    undo: () => undoDeclared(asked, session.ctx, ends),
  })
}

/** `cloudimg diff -f FILE`: as `apply --dry-run --exit-code`; no image is named beside the file. */
export async function diffFile(session: Session, image: string | undefined, flags: ApplyFlags): Promise<number> {
  if (image === undefined) return await apply(session, { ...flags, dryRun: true, exitCode: true })
  throw new CloudimgError('USAGE', `comparing "${flags.file}" with "${image}": the file is compared with its cluster`, {
    hint: `write: cloudimg diff -f ${flags.file}, or cloudimg diff A B`,
  })
}

function showApplyPlan(session: Session, flags: ApplyFlags, plan: ApplyPlan): number {
  const code = exitCode(plan, flags)
  session.answer({ ok: true, changed: false, code, ...plan }, () => describeApplyPlan(plan))
  return code
}

/** 7 where applying would be refused; with --exit-code, 9 where the cluster is not what the file declares. */
function exitCode({ converge, upgrade, prune, surplus, drift }: ApplyPlan, flags: ApplyFlags): number {
  const findings = [converge, upgrade, prune].flatMap(part => part?.plan.findings ?? [])
  if (findings.some(({ severity, id }) => severity === 'error' && id !== 'upgrade')) return 7
  const pending = [converge, upgrade, prune].some(part => (part?.pending.length ?? 0) > 0)
  return flags.exitCode === true && (pending || surplus.length > 0 || drift.length > 0) ? 9 : 0
}

/** What differs, then every step that would mend it. */
export function describeApplyPlan(plan: ApplyPlan): string {
  const { converge, upgrade, prune, missing, surplus, drift, config, marks } = plan
  const part = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : [title, ...lines.map(line => `  ${line}`), '']
  const plans =
    upgrade === undefined ? [formatPlan(converge.plan, converge.pending)] : [formatPlan(upgrade.plan, upgrade.pending)]
  const later = upgrade === undefined ? [] : missing
  return [
    ...part('drifted:', drift),
    ...part(
      'configured otherwise:',
      config.flatMap(({ host, lines }) => lines.map(line => `${host}: ${line}`)),
    ),
    ...part('marked otherwise:', marks),
    ...part(prune === undefined ? 'not declared, and left alone without --prune:' : 'not declared, to leave:', surplus),
    ...part('to join once the cluster is upgraded:', later),
    ...plans,
    ...(prune === undefined ? [] : [formatPlan(prune.plan, prune.pending)]),
  ].join('\n')
}
