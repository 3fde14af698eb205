import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '../core/context.ts'
import { CloudimgError, reasonOf } from '../core/error.ts'

export interface RetryOptions {
  /** Tries in all; 5 unless told. */
  readonly attempts?: number
  /** Milliseconds before the second try, doubled for each further one with jitter; 500 unless told. */
  readonly delayMs?: number
  /** No wait is longer; 30,000 unless told. */
  readonly maxDelayMs?: number
}

/**
 * Runs `work` again while it throws an error that says `retryable: true` in its data (set where the error was classified,
 * at the edge). `retryAfterMs` in the data is honoured. Work gets the number of its try, from 1.
 */
export async function retry<T>(
  what: string,
  work: (attempt: number) => Promise<T>,
  ctx: Context,
  options: RetryOptions = {},
): Promise<T> {
  const { attempts = 5, delayMs = 500, maxDelayMs = 30_000 } = options
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt)
    } catch (error) {
      if (!isRetryable(error) || ctx.signal.aborted) throw error
      if (attempt >= attempts) throw givenUp(error)
      const backoff = delayMs * 2 ** (attempt - 1) * (0.75 + Math.random() / 2)
      const asked = error.data.retryAfterMs
      const wait = Math.min(maxDelayMs, typeof asked === 'number' ? asked : backoff)
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

function isRetryable(error: unknown): error is CloudimgError {
  return error instanceof CloudimgError && error.data.retryable === true && error.data.givenUp !== true
}
