import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '../core/context.ts'
import { CloudimgError, reasonOf } from '../core/error.ts'

export interface RetryOptions {
  /** Tries in all; 5 unless told. */
  readonly attempts?: number
  /** Milliseconds before the second try, doubled for each further one with jitter; 500 unless told. */
  readonly delayMs?: number
  /** No wait of our own is longer; 30,000 unless told. */
  readonly maxDelayMs?: number
  /** What the other side may ask us to wait; beyond it the error is thrown at once. 300,000 unless told. */
  readonly maxAskedMs?: number
}

/**
 * Runs `work` again while it throws an error that says `retryable: true` in its data (set where the error was classified,
 * at the edge). `retryAfterMs` in the data is waited for, never cut short. Work gets the number of its try, from 1.
 */
export async function retry<T>(
  what: string,
  work: (attempt: number) => Promise<T>,
  ctx: Context,
  options: RetryOptions = {},
): Promise<T> {
  const { attempts = 5, delayMs = 500, maxDelayMs = 30_000, maxAskedMs = 300_000 } = options
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt)
    } catch (error) {
      if (!isRetryable(error) || ctx.signal.aborted) throw error
      if (attempt >= attempts) throw givenUp(error)
      const backoff = Math.min(maxDelayMs, delayMs * 2 ** (attempt - 1) * (0.75 + Math.random() / 2))
      const asked = error.data.retryAfterMs
      if (typeof asked === 'number' && asked > maxAskedMs) throw toldToWait(error, asked)
      const wait = typeof asked === 'number' ? asked : backoff
      ctx.events({
        kind: 'retry',
        what,
        attempt: attempt + 1,
        of: attempts,
        delayMs: Math.round(wait),
        reason: reasonOf(error),
      })
      await sleep(wait, undefined, { signal: ctx.signal }).catch(() => ctx.signal.throwIfAborted())
    }
  }
}

/** The same error after all its tries: a retry around this one must not begin all over. */
function givenUp({ code, message, hint, cause, data }: CloudimgError): CloudimgError {
  const details = { cause, data: { ...data, givenUp: true }, ...(hint === undefined ? {} : { hint }) }
  return new CloudimgError(code, message, details)
}

/** Asking again earlier than the other side said would be answered the same, and count against us. */
function toldToWait(error: CloudimgError, askedMs: number): CloudimgError {
  const { code, message, cause, data } = givenUp(error)
  const hint = `try again in ${Math.ceil(askedMs / 60_000)} minutes: it asks for that wait`
  return new CloudimgError(code, message, { cause, data, hint })
}

function isRetryable(error: unknown): error is CloudimgError {
  return error instanceof CloudimgError && error.data.retryable === true && error.data.givenUp !== true
}
