import type { Digest } from '../core/digest.ts'
import type { Finding } from '../runtime/finding.ts'
import type { Cluster, Member, Role, Runtime } from '../runtime/runtime.ts'
import type { DeployStep } from '../runtime/step.ts'
import type { DeclaredEnvironment } from './environment.ts'
import type { Action } from './action.ts'
import type { DatastoreWork } from './datastore-work.ts'
import { asIgnored } from './ignore-findings.ts'
import type { Wishes } from './options.ts'
import type { RegistryAnswer } from './registry/ask-registry.ts'
import type { SituatedNode } from './situation.ts'

/** All that a phase may know. Facts and wishes, no machine. */
export interface Deployment {
  /** Absent where the action works with what is installed. */
  readonly image: { readonly reference: string; readonly digest: Digest } | undefined
  readonly cluster: Cluster
  readonly runtime: Runtime
  /** Who is in the cluster when the action is done. The first is a server, one that runs where any does: kubectl is asked there. */
  readonly nodes: readonly [SituatedNode, ...SituatedNode[]]
  /** Who leaves it, in that order. */
  readonly leaving: readonly SituatedNode[]
  /** Members whose machine is gone, or is another one now: the cluster forgets them. */
  readonly forgotten: readonly Member[]
  /** The cluster's own list, before the action; empty where there is none, or where no server answers. */
  readonly members: readonly Member[]
  /** What the registry of a URL says; undefined where it was not asked. */
  readonly registry?: RegistryAnswer | undefined
  readonly findings: readonly Finding[]
  readonly fixes: readonly string[]
  readonly wishes: Wishes
  /** For actions that are about the datastore alone. */
  readonly datastore?: DatastoreWork
  /** Lines for the shell that the image wants to have run once the cluster is up. */
  readonly launch: readonly string[]
  /** What is declared for templates, for what is launched, and for hooks. */
  readonly env: DeclaredEnvironment
}

/** One chapter of an action: pure, a deployment in, steps out. */
export interface Phase {
  readonly title: string
  /** Whether hosts give each other what this phase brings. */
  passesOn?(deployment: Deployment): boolean
  /** How many lanes at once; as many as hosts may be worked on at once unless told. Where it is told, a failure stops the phase. */
  limit?(deployment: Deployment): number
  /** Nodes that run are restarted: `Plan.restarts` names them. */
  readonly restarts?: true
  steps(deployment: Deployment): readonly DeployStep[]
}

export interface PlannedPhase {
  readonly title: string
  /** In order in each lane (a host, unless a step says otherwise); lanes side by side. */
  readonly steps: readonly DeployStep[]
  readonly limit?: number
  /** Hosts give each other what it brings. */
  readonly passesOn?: true
}

/** What will be done, before anything is done: the same value is printed by a dry run and carried out by a run. */
export interface Plan {
  readonly v: 1
  readonly action: Action['name']
  readonly image:
    { readonly reference: string; readonly digest: Digest; readonly version: string | undefined } | undefined
  readonly cluster: string
  readonly nodes: readonly PlanNode[]
  readonly leaving: readonly PlanNode[]
  /** Names of members that the cluster forgets. */
  readonly forgotten: readonly string[]
  readonly findings: readonly Finding[]
  readonly phases: readonly PlannedPhase[]
  /** Hosts whose k3s is restarted for its configuration, in that order. */
  readonly restarts: readonly string[]
  /** The first step that cannot be undone. */
  readonly pointOfNoReturn: string | undefined
}

export interface PlanNode {
  readonly host: string
  readonly role: Role
  readonly name: string
  readonly address: string
  readonly interface: string
  readonly rootfs: Digest
}

export type PlanInput = Omit<Deployment, 'findings'>

/** Pure: facts and options in, the whole plan out, findings included. */
export function makePlan(action: Action, input: PlanInput): Plan {
  const findings = action.judges
    .flatMap(judge => judge(input))
    .map(finding => asIgnored(finding, input.wishes.ignore ?? []))
    .sort((a, b) => Number(a.severity === 'warning') - Number(b.severity === 'warning'))
  const isCured = (finding: Finding): boolean => input.fixes.includes(finding.id)
  const deployment: Deployment = { ...input, findings }
  const planned = action.phases.map(phase => ({ phase, made: plannedPhase(phase, deployment) }))
  const phases = planned.map(({ made }) => made).filter(({ steps }) => steps.length > 0)
  const { image, cluster } = input
  return {
    v: 1,
    action: action.name,
    image: image && { reference: image.reference, digest: image.digest, version: cluster.version },
    cluster: cluster.id,
    nodes: input.nodes.map(planNode),
    leaving: input.leaving.map(planNode),
    forgotten: input.forgotten.map(member => member.name),
    findings: findings.filter(finding => !isCured(finding)),
    phases,
    restarts: planned.flatMap(({ phase, made }) => (phase.restarts === true ? made.steps.map(({ host }) => host) : [])),
    pointOfNoReturn: phases.flatMap(phase => phase.steps).find(step => step.undo === 'none')?.id,
  }
}

function plannedPhase(phase: Phase, deployment: Deployment): PlannedPhase {
  const limit = phase.limit?.(deployment)
  const passesOn = phase.passesOn?.(deployment) === true
  const said = { ...(limit === undefined ? {} : { limit }), ...(passesOn ? { passesOn } : {}) }
  return { title: phase.title, steps: phase.steps(deployment), ...said }
}

function planNode(node: SituatedNode): PlanNode {
  const { host, role, name, address, rootfs } = node
  return { host, role, name, address, interface: node.interface, rootfs: rootfs.digest }
}

export function stepsOf(plan: Plan): readonly DeployStep[] {
  return plan.phases.flatMap(phase => phase.steps)
}
