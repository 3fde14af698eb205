import type { Finding } from '../runtime/finding.ts'
import type { Phase, PlanInput } from './plan.ts'

/** Pure: what speaks against an action, from facts and wishes alone. */
export type ActionJudge = (input: PlanInput) => readonly Finding[]

/** What can be done to a cluster: an ordered list of phases that reads as the story of it. */
export interface Action {
  readonly name: 'run' | 'join' | 'delete' | 'replace' | 'upgrade' | 'renew' | 'import' | 'reset'
  readonly phases: readonly Phase[]
  readonly judges: readonly ActionJudge[]
  /** What there is at the end: a cluster, which is then verified and whose kubeconfig is fetched, or nothing. */
  readonly leaves: 'cluster' | 'nothing'
}
