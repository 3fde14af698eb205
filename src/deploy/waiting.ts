import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '../core/context.ts'
import { CloudimgError, isCloudimgError, reasonOf } from '../core/error.ts'

/** The only time that a deployment knows: a simulation gives it another one. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** @throws the signal's reason as soon as it is aborted. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>
}

export const realClock: Clock = {
  now: () => Date.now(),
  async sleep(milliseconds, signal) {
    await sleep(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted())
  },
}

/** How time passes for a deployment. */
export interface Pace extends Clock {
  /** Between two looks at something that is becoming ready. */
  readonly pollMs: number
  /** Multiplies the times for which a cluster is left to settle; 1 but in tests. */
  readonly settling: number
}

/** Undefined when all is well, else what is not, as people read it. */
export type Look = () => Promise<string | undefined>

/** Looks until all is well. @throws COMMAND_FAILED with what was not, `doing` first, once the time is over. */
export async function eventually(
  doing: string,
  timeoutSeconds: number,
  pace: Pace,
  ctx: Context,
  look: Look,
  hint = 'see on the host: journalctl -u k3s -u k3s-agent; the same command looks again',
): Promise<void> {
  const end = pace.now() + timeoutSeconds * 1000
  for (;;) {
    const wrong = await tolerant(look)
    if (wrong === undefined) return
    if (pace.now() + pace.pollMs >= end) {
      throw new CloudimgError('COMMAND_FAILED', `${doing}: after ${timeoutSeconds} s ${wrong}`, { hint })
    }
    await pace.sleep(pace.pollMs, ctx.signal)
  }
}

/** @throws COMMAND_FAILED where it is no longer well before the time is over. */
export async function watch(doing: string, seconds: number, pace: Pace, ctx: Context, look: Look): Promise<void> {
  const end = pace.now() + seconds * 1000 * pace.settling
  for (;;) {
    const wrong = await look()
    if (wrong !== undefined) throw new CloudimgError('COMMAND_FAILED', `${doing}: ${wrong}`)
    if (pace.now() >= end) return
    await pace.sleep(Math.min(pace.pollMs, Math.max(end - pace.now(), 1)), ctx.signal)
  }
}

/** Gives `work` a signal that ends it when the time is over. */
export async function within<T>(
  milliseconds: number,
  clock: Clock,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  const reason = new CloudimgError('CANCELLED', `waiting: ${milliseconds / 1000} s are over`)
  const letGo = after(milliseconds, clock, () => over.abort(reason))
  try {
    return await work(over.signal)
  } finally {
    await letGo()
  }
}

/** Calls back when the time is over, unless what it returns was called before. */
export function after(milliseconds: number, clock: Clock, then: () => void): () => Promise<void> {
  const done = new AbortController()
  const timer = clock.sleep(milliseconds, done.signal).then(then, () => undefined)
  return async () => {
    done.abort('let go of')
    await timer
  }
}

/** An API server that does not answer yet is not ready, no more. */
async function tolerant(look: Look): Promise<string | undefined> {
  try {
    return await look()
  } catch (error) {
    if (isCloudimgError(error, 'COMMAND_FAILED')) return reasonOf(error)
    throw error
  }
}
