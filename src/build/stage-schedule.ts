import type { Context } from '../core/context.ts'
import type { StagePlan } from './plan.ts'

/** Stages under way at once, for each platform. */
const stagesAtOnce = 4

/**
 * Does `work` for every stage as soon as those that it uses are done, side by side where none needs the other; results
 * by number. The first failure stops the others, waits until they have ended, and is thrown.
 */
export async function scheduleStages<T>(
  stages: readonly StagePlan[],
  work: (stage: StagePlan, done: ReadonlyMap<number, T>, ctx: Context) => Promise<T>,
  ctx: Context,
): Promise<ReadonlyMap<number, T>> {
  const failed = new AbortController()
  const running = { ...ctx, signal: AbortSignal.any([ctx.signal, failed.signal]) }
  const done = new Map<number, T>()
  const waiting = new Set(stages)
  const underWay = new Set<Promise<void>>()
  const start = (stage: StagePlan): void => {
    waiting.delete(stage)
    const flight = work(stage, done, running)
      .then(result => void done.set(stage.number, result))
      .catch((error: unknown) => failed.abort(error))
      .finally(() => underWay.delete(flight))
    underWay.add(flight)
  }
  while (done.size < stages.length) {
    if (!running.signal.aborted) {
      const ready = [...waiting].filter(({ uses }) => uses.every(number => done.has(number)))
      ready.slice(0, stagesAtOnce - underWay.size).forEach(start)
    }
    if (underWay.size === 0) break
    await Promise.race(underWay)
  }
  running.signal.throwIfAborted()
  return done
}
