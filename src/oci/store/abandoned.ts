import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { processState } from '../../io/process-identity.ts'

/** Nobody who still writes is silent for so long. */
const abandonedMs = 10 * 60_000

/**
 * Removes the drafts and scratch directories (`<process identity>.<random>`) that killed programs left in a store's temporary
 * folder: at once where their process is gone, after ten minutes of silence where it may live on another machine or in another
 * container. What resists is left to the next time.
 */
export async function clearAbandoned(directory: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const owner = /^(\d[^.]*)\./.exec(name)?.[1]
    const state = owner === undefined ? 'running' : processState(owner)
    if (state === 'running') continue
    const path = join(directory, name)
    const stats = await stat(path).catch(() => undefined)
    if (stats === undefined || (state === 'elsewhere' && Date.now() - stats.mtimeMs < abandonedMs)) continue
    await rm(path, { recursive: true, force: true }).catch(() => undefined)
  }
}
