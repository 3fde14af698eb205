import type { Context } from '../../src/core/context.ts'
import { run, type RunOptions, type RunResult } from '../../src/io/exec.ts'

export interface CommandOptions extends RunOptions {
  /** SIGTERM after this; 60 s unless told. */
  readonly timeoutMs?: number
}

/** A context that says nothing and gives up in time. */
export function quietContext(timeoutMs = 60_000): Context {
  return { signal: AbortSignal.timeout(timeoutMs), events: () => {} }
}

/** Runs a real program within its time; any exit code is an answer. */
export async function attempt(argv: readonly string[], options: CommandOptions = {}): Promise<RunResult> {
  const { timeoutMs = 60_000, ...rest } = options
  const ctx = quietContext(timeoutMs)
  try {
    return await run(argv, rest, ctx)
  } catch (error) {
    if (!ctx.signal.aborted) throw error
    throw new Error(`running "${argv.join(' ')}": no end after ${timeoutMs} ms`, { cause: error })
  }
}

/** As `attempt`, but anything but exit code 0 is thrown, with the last of what the program said. Returns stdout, trimmed. */
export async function must(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await attempt(argv, options)
  if (result.code === 0) return result.stdout.trim()
  const said = `${result.stderr}\n${result.stdout}`.trim().slice(-2000)
  throw new Error(`running "${argv.join(' ')}": exit code ${result.code}: ${said}`)
}

/** Asks until `probe` answers something; its last error is the cause where it never does. */
export async function eventually<T>(what: string, timeoutMs: number, probe: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const answer = await probe()
      if (answer !== undefined) return answer
    } catch (error) {
      last = error
    }
    if (Date.now() > deadline) throw new Error(`waiting for ${what}: not within ${timeoutMs} ms`, { cause: last })
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
