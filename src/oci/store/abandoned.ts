import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isAlive } from '../../io/process-alive.ts'

/** Nobody who still writes is silent for so long. */
const abandonedMs = 10 * 60_000

/**
 * Removes the drafts and scratch directories (`<pid>.<random>`) that killed programs left in a store's temporary folder: their process is gone and
 * nothing was written for ten minutes, since the process may live on another machine or in another container. What
 * resists is left to the next time.
 */
export async function clearAbandoned(directory: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const pid = Number(/^(\d+)\./.exec(name)?.[1] ?? process.pid)
    if (isAlive(pid)) continue
    const path = join(directory, name)
    const stats = await stat(path).catch(() => undefined)
    if (stats === undefined || Date.now() - stats.mtimeMs < abandonedMs) continue
    await rm(path, { recursive: true, force: true }).catch(() => undefined)
  }
}
