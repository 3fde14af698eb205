import type { Digest } from '../core/digest.ts'
import type { Finding } from '../runtime/finding.ts'
import type { Cluster, Runtime } from '../runtime/runtime.ts'
import type { DeployStep } from '../runtime/step.ts'
import { fixHosts } from './phases/fix-hosts.ts'
import { images } from './phases/images.ts'
import { initCluster } from './phases/init.ts'
import { install } from './phases/install.ts'
import { joinAgents } from './phases/join-agents.ts'
import { send } from './phases/send.ts'
import { judge, type JudgeOptions } from './preflight.ts'
import type { SituatedNode } from './situation.ts'

/** All that a phase may know. Facts and wishes, no machine. */
export interface Deployment {
  readonly image: { readonly reference: string; readonly digest: Digest }
  readonly cluster: Cluster
  readonly runtime: Runtime
  readonly nodes: readonly SituatedNode[]
  readonly findings: readonly Finding[]
  readonly fixes: readonly string[]
}

/** One chapter of an action: pure, a deployment in, steps out. */
export interface Phase {
  readonly title: string
  steps(deployment: Deployment): readonly DeployStep[]
}

export interface PlannedPhase {
  readonly title: string
  /** In order on each host; hosts side by side. */
  readonly steps: readonly DeployStep[]
}

/** What will be done, before anything is done: the same value is printed by a dry run and carried out by a run. */
export interface Plan {
  readonly v: 1
  readonly action: 'run'
  readonly image: { readonly reference: string; readonly digest: Digest; readonly version: string | undefined }
  readonly cluster: string
  readonly nodes: readonly PlanNode[]
  readonly findings: readonly Finding[]
  readonly phases: readonly PlannedPhase[]
  /** The first step that cannot be undone. */
  readonly pointOfNoReturn: string | undefined
}

export interface PlanNode {
  readonly host: string
  readonly role: string
  readonly name: string
  readonly address: string
  readonly interface: string
  readonly rootfs: Digest
}

/** The story of `run`, in the order in which it happens. */
export const runPhases: readonly Phase[] = [send, fixHosts, install, initCluster, joinAgents, images]

export interface PlanRunInput extends Omit<Deployment, 'findings'> {
  readonly judging: JudgeOptions
}

/** Pure: facts and options in, the whole plan out, findings included. */
export function planRun(input: PlanRunInput): Plan {
  const { judging, ...deployment } = input
  const all = judge(input.nodes, input.cluster, input.runtime, judging)
  const isCured = (finding: Finding): boolean => input.fixes.includes(finding.id)
  const phases = runPhases
    .map(phase => ({ title: phase.title, steps: phase.steps({ ...deployment, findings: all }) }))
    .filter(phase => phase.steps.length > 0)
  return {
    v: 1,
    action: 'run',
    image: { reference: input.image.reference, digest: input.image.digest, version: input.cluster.version },
    cluster: input.cluster.id,
    nodes: input.nodes.map(node => ({
      host: node.host,
      role: node.role,
      name: node.name,
      address: node.address,
      interface: node.interface,
      rootfs: node.rootfs.digest,
    })),
    findings: all.filter(finding => !isCured(finding)),
    phases,
    pointOfNoReturn: phases.flatMap(phase => phase.steps).find(step => step.undo === 'none')?.id,
  }
}

export function stepsOf(plan: Plan): readonly DeployStep[] {
  return plan.phases.flatMap(phase => phase.steps)
}
