import type { Context } from '../core/context.ts'
import { CloudimgError, isCloudimgError, reasonOf } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import type { DeployStep } from '../runtime/step.ts'
import type { Journal, JournalLine } from './journal.ts'
import { perform, type Tools } from './perform.ts'
import { holds } from './probe.ts'

/** How often a finished step is looked at before it counts as failed; a minute in all. */
const looks = 30

export interface Door extends Tools {
  readonly journal: Pick<Journal, 'write'>
  /** Tells the host what was written about it. */
  readonly mirror: (host: Host, line: JournalLine, ctx: Context) => Promise<void>
  /** Told before the first op of a step: from then on the host may have changed. */
  readonly onChange: () => void
}

/**
 * The one door through which a host is changed: probe, journal, do, probe, journal. A step that is done already costs a look.
 * What an earlier run wrote into its journal is never believed, only what the probe finds.
 * @throws PLAN_STALE where the host is no longer as the plan saw it; COMMAND_FAILED where a step did not bring about what it says.
 */
export async function applyStep(
  step: DeployStep,
  host: Host,
  door: Door,
  ctx: Context,
): Promise<'changed' | 'unchanged'> {
  ctx.signal.throwIfAborted()
  const say = (outcome: 'start' | 'changed' | 'unchanged' | 'failed'): void =>
    ctx.events({ kind: 'host', host: host.name, sentence: step.sentence, outcome })
  if (await holds(step.done, host, door, ctx)) {
    say('unchanged')
    return 'unchanged'
  }
  if (step.assumes !== undefined && !(await holds(step.assumes, host, door, ctx))) throw stale(step)
  say('start')
  // Undone from these words alone: a plan made later no longer has the steps that are done.
  const start = await door.journal.write({ event: 'start', host: host.name, step: step.id, undo: step.undo })
  await door.mirror(host, start, ctx)
  try {
    const changed = await doOrTakeBack(step, host, door, ctx)
    await door.mirror(host, await door.journal.write({ event: 'done', host: host.name, step: step.id }), ctx)
    say(changed ? 'changed' : 'unchanged')
    return changed ? 'changed' : 'unchanged'
  } catch (error) {
    say('failed')
    await door.journal
      .write({ event: 'failed', host: host.name, step: step.id, message: reasonOf(error) })
      .catch(() => undefined)
    throw error
  }
}

/** @throws what went wrong; with `data.takenBack` where the host was put back to where it was. */
async function doOrTakeBack(step: DeployStep, host: Host, door: Door, ctx: Context): Promise<boolean> {
  try {
    return await doAndProve(step, host, door, ctx)
  } catch (error) {
    const { takeBack } = step
    if (takeBack === undefined || isLost(error) || (await holds(takeBack.unless, host, door, ctx))) throw error
    ctx.events({
      kind: 'warning',
      code: 'taken-back',
      message: `${host.name}: ${reasonOf(error)}; going back to what ran before`,
    })
    for (const op of takeBack.do) await perform(op, host, door, ctx)
    throw new CloudimgError(
      'COMMAND_FAILED',
      `on "${host.name}", to ${step.sentence}: ${reasonOf(error)}; this host runs what it ran before`,
      {
        cause: error,
        data: { host: host.name, step: step.id, takenBack: true },
      },
    )
  }
}

/** We cannot reach it, or may no longer: no time to change anything. */
function isLost(error: unknown): boolean {
  return isCloudimgError(error) && ['CANCELLED', 'HOST_UNREACHABLE', 'CLUSTER_LOCKED'].includes(error.code)
}

async function doAndProve(step: DeployStep, host: Host, door: Door, ctx: Context): Promise<boolean> {
  door.onChange()
  const changed = await performAll(step, host, door, ctx)
  if (await isProved(step, host, door, ctx)) return changed
  throw new CloudimgError(
    'COMMAND_FAILED',
    `on "${host.name}", to ${step.sentence}: every command succeeded, but the host is not as it should be`,
    {
      hint: 'somebody else may be changing the host; run the same command again',
      data: { host: host.name, step: step.id },
    },
  )
}

/** A cluster that has just changed may be silent for a while (a server that leaves has etcd elect a leader): what does not hold now is looked at again. */
async function isProved(step: DeployStep, host: Host, door: Door, ctx: Context): Promise<boolean> {
  for (let look = 1; ; look++) {
    if (await holds(step.done, host, door, ctx)) return true
    if (look === looks) return false
    await door.pace.sleep(door.pace.pollMs, ctx.signal)
  }
}

/** A step whose host went down in the middle is begun again, from its first op. */
async function performAll(step: DeployStep, host: Host, door: Door, ctx: Context): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      let changed = false
      for (const op of step.do) if (await perform(op, host, door, ctx)) changed = true
      return changed
    } catch (error) {
      if (!isCloudimgError(error) || error.data.interrupted !== true || attempt === 3) throw error
      ctx.events({
        kind: 'retry',
        what: step.sentence,
        attempt: attempt + 1,
        of: 3,
        delayMs: 0,
        reason: reasonOf(error),
      })
    }
  }
}

function stale(step: DeployStep): CloudimgError {
  return new CloudimgError(
    'PLAN_STALE',
    `on "${step.host}", to ${step.sentence}: the host is no longer as the plan saw it`,
    {
      hint: 'run the same command again: it looks anew and makes a new plan',
      data: { host: step.host, step: step.id },
    },
  )
}
