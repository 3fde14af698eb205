import { join } from 'node:path'
import { each } from '../core/each.ts'
import type { Context } from '../core/context.ts'
import { CloudimgError, isCloudimgError, reasonOf } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import type { DeployStep } from '../runtime/step.ts'
import type { DatastoreWork } from './datastore-work.ts'
import { applyStep, type Door } from './door.ts'
import { FanOut } from './fanout/fan-out.ts'
import { type Journal, type JournalLine, openJournal } from './journal.ts'
import { Keep } from './keep.ts'
import { nextEpoch, withLock } from './lock.ts'
import { mirrorLine } from './mirror.ts'
import { onHosts } from './on-hosts.ts'
import type { PlannedPhase } from './plan.ts'
import type { Prepared } from './prepare.ts'
import { hostNamed } from './probe.ts'
import { Sources } from './sources.ts'

/** An operation under way: all locks are held. */
export interface Operation {
  readonly door: Door
  readonly journal: Journal
  /** Hosts that a step has changed. */
  readonly changed: Set<string>
}

/**
 * Journal, lock, `work`, unlock. @throws PHASE_FAILED with `data.changed` once changes have begun; before that, what was wrong,
 * as it is.
 */
export async function withOperation<T>(
  prepared: Prepared,
  ctx: Context,
  work: (operation: Operation, ctx: Context) => Promise<T>,
): Promise<T> {
  const { ends, directory, situation, request, nodes, hosts, concurrency } = prepared
  const command = commandText(prepared)
  const journal = await openJournal({ directory, command, newOp: ends.newOp(), now: () => ends.now() })
  let begun = false
  try {
    const locked = situation.nodes.map(node => ({ host: hostNamed(prepared.hosts, node.host), facts: node.facts }))
    const earlier = Math.max(0, ...journal.earlier.map(line => line.epoch ?? 0))
    const lease = { op: journal.op, epoch: nextEpoch(locked, journal.op, earlier, ctx) }
    await journal.write({ event: 'resume', epoch: lease.epoch })
    ctx.events({ kind: 'phase', title: 'Lock' })
    const door: Door = {
      journal,
      holes: prepared.holes,
      hosts: prepared.hosts,
      registry: prepared.registry,
      sources: new Sources([...situation.rootfs.map(({ tree }) => tree), prepared.request.brings ?? []]),
      ...(request.wishes?.fanOut === true ? { fanOut: new FanOut({ nodes, hosts, concurrency, clock: ends }) } : {}),
      keep: new Keep(join(directory, 'snapshots', journal.op)),
      lease,
      mirror: mirrorLine,
      pace: ends,
      onChange: () => void (begun = true),
    }
    const operation: Operation = { door, journal, changed: new Set() }
    const held = locked.map(({ host }) => host)
    const result = await withLock(held, situation.rootfs[0].installer, door, ctx, async ctx => {
      await tellAll(held, journal.begin, ctx)
      const result = await work(operation, ctx)
      await tellAll(held, { ...journal.begin, event: 'end' }, ctx)
      return result
    })
    await journal.write({ event: 'end' })
    return result
  } catch (error) {
    // An operation that another one has displaced can never go on: the next run begins a new one.
    if (isCloudimgError(error, 'CLUSTER_LOCKED')) await journal.write({ event: 'end', message: reasonOf(error) })
    throw begun ? afterChanges(error, journal) : error
  } finally {
    await journal.close()
  }
}

async function tellAll(hosts: readonly Host[], line: JournalLine, ctx: Context): Promise<void> {
  await onHosts(
    hosts,
    hosts.length,
    host => host.name,
    host => mirrorLine(host, line, ctx),
  )
}

/** In each lane one step after the other, lanes side by side. */
export async function applyPhase(
  phase: PlannedPhase,
  prepared: Prepared,
  { door, changed }: Operation,
  ctx: Context,
): Promise<void> {
  ctx.events({ kind: 'phase', title: phase.title })
  const lanes = [...Map.groupBy(phase.steps, laneOf)]
  const walk = async ([, steps]: readonly [string, readonly DeployStep[]]): Promise<void> => {
    for (const step of steps) {
      const outcome = await applyStep(step, hostNamed(prepared.hosts, step.host), door, ctx)
      if (outcome === 'changed') changed.add(laneOf(step))
    }
  }
  try {
    // Who waits for a peer keeps nobody from working: all hosts take part in passing on.
    const limit = phase.passesOn === true ? lanes.length : prepared.concurrency
    if (phase.limit === undefined) await onHosts(lanes, limit, ([lane]) => lane, walk)
    else await each(lanes, phase.limit, walk)
  } finally {
    if (phase.passesOn === true) await door.fanOut?.close(ctx)
  }
}

function laneOf(step: DeployStep): string {
  return step.lane ?? step.host
}

/** What was asked, as the journal compares it: a failure is resumed by the same words only. No secrets. */
export function commandText({ request, plan }: Pick<Prepared, 'request' | 'plan'>): string {
  const { nodeIps, tlsSans, endpoint, config, registry } = request.cluster ?? {}
  const nodes = [...plan.nodes].map(({ host, role }) => `${role} ${host}`).sort()
  const leaving = plan.leaving.map(({ host }) => host)
  const { fixes, forgotten } = request
  // By which way the bytes come makes no other operation.
  const { fanOut: _way, ...wishes } = request.wishes ?? {}
  const said = {
    nodeIps,
    tlsSans,
    endpoint,
    config,
    registry: registry && [registry.mode, registry.url],
    fixes,
    wishes,
    datastore: datastoreText(request.datastore),
  }
  return JSON.stringify({ action: plan.action, image: plan.image?.digest, nodes, leaving, forgotten, ...said })
}

function datastoreText(work: DatastoreWork | undefined): string | undefined {
  if (work === undefined) return undefined
  return work.kind === 'restore' ? `restore ${work.id} ${work.snapshot.digest}` : `recover ${work.server}`
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
