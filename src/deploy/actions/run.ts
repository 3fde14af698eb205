import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError, isCloudimgError, reasonOf } from '../../core/error.ts'
import type { Host } from '../../host/host.ts'
import { findRuntime } from '../../runtime/find-runtime.ts'
import type { Cluster, Runtime } from '../../runtime/runtime.ts'
import type { DeployStep } from '../../runtime/step.ts'
import { withClaim } from '../claim.ts'
import { clusterId } from '../cluster-id.ts'
import { applyStep, type Door } from '../door.ts'
import { type Ends, realEnds } from '../ends.ts'
import { Holes } from '../holes.ts'
import { parseInventory } from '../inventory.ts'
import { isUnfinished, type Journal, openJournal } from '../journal.ts'
import { nextEpoch, withLock } from '../lock.ts'
import { onHosts } from '../on-hosts.ts'
import { type RunOptions, stateHome } from '../options.ts'
import { connect, type Connected, disconnect } from '../phases/connect.ts'
import { gatherSituation, type Situation } from '../phases/facts.ts'
import { fetchKubeconfig } from '../phases/kubeconfig.ts'
import { preflight } from '../phases/preflight.ts'
import { verify } from '../phases/verify.ts'
import { type Plan, planRun, type PlannedPhase, stepsOf } from '../plan.ts'
import { holds } from '../probe.ts'
import { Sources } from '../sources.ts'

export interface RunResult {
  readonly cluster: string
  readonly version: string | undefined
  readonly changed: boolean
  /** The operation's id; absent where there was nothing to do. */
  readonly op: string | undefined
  readonly journal: string | undefined
  readonly kubeconfig: string
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
export async function planCluster(options: RunOptions, ctx: Context, ends: Ends = realEnds): Promise<PlanResult> {
  return await withCluster(options, ends, ctx, async cluster => {
    const refused = cluster.plan.findings.some(finding => finding.severity === 'error')
    const pending = refused ? stepsOf(cluster.plan) : await pendingSteps(cluster, ctx)
    return { plan: cluster.plan, pending: pending.map(step => step.id) }
  })
}

/**
 * Makes the hosts a cluster, or finds that they are one. Nothing is changed before every check that can refuse has run; the
 * same command again goes on where a failure stopped it, and changes nothing where all is done.
 * @throws PHASE_FAILED with `data.changed` once changes have begun; before that, what was wrong, as it is.
 */
export async function runCluster(options: RunOptions, ctx: Context, ends: Ends = realEnds): Promise<RunResult> {
  return await withCluster(options, ends, ctx, async cluster => {
    preflight(cluster.plan.findings, ctx)
    if (!(await isUnfinished(cluster.directory, commandText(cluster))) && (await isDone(cluster, ctx))) {
      return resultOf(cluster, { changed: new Set(), kubeconfig: await confirm(cluster, ctx) })
    }
    return await withClaim(cluster.directory, () => change(cluster, ctx))
  })
}

/** Everything known before the first change. */
interface PlannedCluster {
  readonly options: RunOptions
  readonly ends: Ends
  readonly connected: readonly Connected[]
  readonly hosts: ReadonlyMap<string, Host>
  readonly situation: Situation
  readonly plan: Plan
  readonly runtime: Runtime
  readonly holes: Holes
  /** The operator's state of this cluster. */
  readonly directory: string
  readonly concurrency: number
  readonly timeoutSeconds: number
}

async function withCluster<T>(
  options: RunOptions,
  ends: Ends,
  ctx: Context,
  work: (cluster: PlannedCluster) => Promise<T>,
): Promise<T> {
  const inventory = parseInventory(options.hosts?.servers ?? [], options.hosts?.agents ?? [])
  const { concurrency = 10, timeoutSeconds = 900 } = options.limits ?? {}
  const [first, ...rest] = await connect(inventory, options.ssh ?? {}, concurrency, ends, ctx)
  const connected = [first!, ...rest] as const
  try {
    const nodeIps = options.cluster?.nodeIps ?? {}
    const situation = await gatherSituation(connected, { image: options.image, nodeIps, concurrency }, ctx)
    const { metadata } = situation.rootfs[0].platform
    const runtime = findRuntime(metadata.runtime)
    const plan = makePlan(options, situation, runtime, timeoutSeconds)
    const hosts = new Map(connected.map(({ address, host }) => [address.name, host]))
    const server = situation.nodes[0]!
    const directory = join(options.stateHome ?? stateHome(), plan.cluster)
    const holes = new Holes(runtime.holes(server), hosts)
    return await work({
      options,
      ends,
      connected,
      hosts,
      situation,
      plan,
      runtime,
      holes,
      directory,
      concurrency,
      timeoutSeconds,
    })
  } catch (error) {
    throw ctx.signal.aborted ? cancelled(error) : error
  } finally {
    await disconnect(connected)
  }
}

/** Whatever an interruption broke first: it was the interruption. */
function cancelled(error: unknown): CloudimgError {
  if (isCloudimgError(error, 'CANCELLED')) return error
  const data = isCloudimgError(error) ? error.data : {}
  return new CloudimgError('CANCELLED', 'deploying: interrupted', { cause: error, data })
}

function makePlan(options: RunOptions, situation: Situation, runtime: Runtime, timeoutSeconds: number): Plan {
  const { metadata } = situation.rootfs[0].platform
  const wishes = options.cluster ?? {}
  const cluster: Cluster = {
    id: clusterId(situation.nodes[0]!),
    version: metadata.version,
    hasFeature: name => metadata.features.includes(name),
    tlsSans: wishes.tlsSans ?? [],
    config: { server: wishes.config?.server ?? {}, agent: wishes.config?.agent ?? {} },
    timeoutSeconds,
  }
  return planRun({
    image: options.image,
    cluster,
    runtime,
    nodes: situation.nodes,
    fixes: options.fixes ?? [],
    judging: { allowStandIn: wishes.allowStandIn === true, standIn: metadata.standIn === true },
  })
}

async function isPending(step: DeployStep, cluster: PlannedCluster, ctx: Context): Promise<boolean> {
  return !(await holds(step.done, cluster.hosts.get(step.host)!, cluster.holes, ctx))
}

async function pendingSteps(cluster: PlannedCluster, ctx: Context): Promise<readonly DeployStep[]> {
  const pending: DeployStep[] = []
  for (const step of stepsOf(cluster.plan)) if (await isPending(step, cluster, ctx)) pending.push(step)
  return pending
}

async function isDone(cluster: PlannedCluster, ctx: Context): Promise<boolean> {
  for (const step of stepsOf(cluster.plan)) if (await isPending(step, cluster, ctx)) return false
  return true
}

/** Lock, the plan's phases in their order, Verify, Kubeconfig, Unlock; every change through the door. */
async function change(cluster: PlannedCluster, ctx: Context): Promise<RunResult> {
  const { ends, directory, situation, plan } = cluster
  const journal = await openJournal({
    directory,
    command: commandText(cluster),
    newOp: ends.newOp(),
    now: () => ends.now(),
  })
  const changed = new Set<string>()
  let begun = false
  try {
    const locked = situation.nodes.map(node => ({ host: cluster.hosts.get(node.host)!, facts: node.facts }))
    const earlier = Math.max(0, ...journal.earlier.map(line => line.epoch ?? 0))
    const lease = { op: journal.op, epoch: nextEpoch(locked, journal.op, earlier, ctx) }
    await journal.write({ event: 'resume', epoch: lease.epoch })
    ctx.events({ kind: 'phase', title: 'Lock' })
    const sources = new Sources(situation.rootfs.map(({ tree }) => tree))
    const onChange = (): void => void (begun = true)
    const door: Door = { journal, holes: cluster.holes, sources, lease, onChange }
    const hosts = locked.map(({ host }) => host)
    const kubeconfig = await withLock(hosts, situation.rootfs[0].installer, lease, ctx, async ctx => {
      for (const phase of plan.phases) await applyPhase(phase, cluster, door, changed, ctx)
      return await confirm(cluster, ctx)
    })
    await journal.write({ event: 'end' })
    return resultOf(cluster, { changed, kubeconfig, journal })
  } catch (error) {
    // An operation that another one has displaced can never go on: the next run begins a new one.
    if (isCloudimgError(error, 'CLUSTER_LOCKED')) await journal.write({ event: 'end', message: reasonOf(error) })
    throw begun ? afterChanges(error, journal) : error
  } finally {
    await journal.close()
  }
}

/** On each host one step after the other, hosts side by side. */
async function applyPhase(
  phase: PlannedPhase,
  cluster: PlannedCluster,
  door: Door,
  changed: Set<string>,
  ctx: Context,
): Promise<void> {
  ctx.events({ kind: 'phase', title: phase.title })
  const names = [...new Set(phase.steps.map(step => step.host))]
  await onHosts(
    names,
    cluster.concurrency,
    name => name,
    async name => {
      for (const step of phase.steps.filter(step => step.host === name)) {
        if ((await applyStep(step, cluster.hosts.get(name)!, door, ctx)) === 'changed') changed.add(name)
      }
    },
  )
}

/** The end of the story, whether anything was changed or not. */
async function confirm(cluster: PlannedCluster, ctx: Context): Promise<string> {
  const { runtime, plan, situation, hosts, timeoutSeconds, ends } = cluster
  const images = [...new Set(situation.rootfs.flatMap(rootfs => rootfs.images))]
  const { version } = plan.image
  await verify({ runtime, version, nodes: situation.nodes, images, hosts, timeoutSeconds, pollMs: ends.pollMs }, ctx)
  const { address, host } = cluster.connected[0]!
  return await fetchKubeconfig({ node: situation.nodes[0]!, address, host }, runtime, cluster.directory, ctx)
}

/** What was asked, as the journal compares it: a failure is resumed by the same words only. No secrets. */
function commandText({ options, plan }: PlannedCluster): string {
  const { nodeIps, tlsSans, config } = options.cluster ?? {}
  const nodes = plan.nodes.map(({ host, role }) => `${role} ${host}`)
  return JSON.stringify({
    action: plan.action,
    image: plan.image.digest,
    nodes,
    nodeIps,
    tlsSans,
    config,
    fixes: options.fixes,
  })
}

function afterChanges(error: unknown, journal: Journal): CloudimgError {
  const known = error instanceof CloudimgError ? error : undefined
  const data = { ...known?.data, changed: true, op: journal.op, journal: journal.path }
  if (known?.code === 'CANCELLED')
    return new CloudimgError('CANCELLED', known.message, { cause: error, data, hint: resumes })
  const hint = known?.hint === undefined ? resumes : `${known.hint}; ${resumes}`
  return new CloudimgError('PHASE_FAILED', reasonOf(error), {
    cause: error,
    data: { ...data, code: known?.code ?? 'BUG' },
    hint,
  })
}

const resumes = 'the same command goes on from here'

function resultOf(
  cluster: PlannedCluster,
  outcome: { readonly changed: ReadonlySet<string>; readonly kubeconfig: string; readonly journal?: Journal },
): RunResult {
  return {
    cluster: cluster.plan.cluster,
    version: cluster.plan.image.version,
    changed: outcome.changed.size > 0,
    op: outcome.journal?.op,
    journal: outcome.journal?.path,
    kubeconfig: outcome.kubeconfig,
    hosts: cluster.plan.nodes.map(({ host, role, name, address }) => ({
      host,
      role,
      name,
      address,
      changed: outcome.changed.has(host),
    })),
  }
}
