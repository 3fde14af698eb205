import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '../core/context.ts'
import { CloudimgError, isCloudimgError, reasonOf } from '../core/error.ts'

/** How time passes for a deployment. */
export interface Pace {
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
  const end = Date.now() + timeoutSeconds * 1000
  for (;;) {
    const wrong = await tolerant(look)
    if (wrong === undefined) return
    if (Date.now() + pace.pollMs >= end) {
      throw new CloudimgError('COMMAND_FAILED', `${doing}: after ${timeoutSeconds} s ${wrong}`, { hint })
    }
    await pause(pace.pollMs, ctx)
  }
}

/** @throws COMMAND_FAILED where it is no longer well before the time is over. */
export async function watch(doing: string, seconds: number, pace: Pace, ctx: Context, look: Look): Promise<void> {
  const end = Date.now() + seconds * 1000 * pace.settling
  for (;;) {
    const wrong = await look()
    if (wrong !== undefined) throw new CloudimgError('COMMAND_FAILED', `${doing}: ${wrong}`)
    if (Date.now() >= end) return
    await pause(Math.min(pace.pollMs, Math.max(end - Date.now(), 1)), ctx)
  }
}

export async function pause(milliseconds: number, ctx: Context): Promise<void> {
  await sleep(milliseconds, undefined, { signal: ctx.signal }).catch(() => ctx.signal.throwIfAborted())
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
