import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CloudimgError, errnoOf } from '../core/error.ts'
import { readFileIfPresent, withFileErrors } from '../io/files.ts'
import { ownIdentity, pidOf, processState } from '../io/process-identity.ts'

/**
 * One run of ours at a time for one cluster: a second one would find the first one's journal and take its place.
 * A file that names a process; one that a dead process left is replaced. Other operators are kept out by the hosts' locks.
 */
export async function withClaim<T>(directory: string, work: () => Promise<T>): Promise<T> {
  const path = join(directory, 'running')
  await withFileErrors('writing', path, () => claim(directory, path))
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

async function claim(directory: string, path: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  for (let attempt = 1; ; attempt++) {
    try {
      await writeFile(path, `${ownIdentity()}\n`, { flag: 'wx', mode: 0o600 })
      return
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error
    }
    const owner = (await readFileIfPresent(path))?.toString('utf8').trim() ?? ''
    if (processState(owner) === 'running' || attempt === 3) {
      const pid = pidOf(owner)
      throw new CloudimgError(
        'CLUSTER_LOCKED',
        `working on the cluster of "${directory}": process ${pid} of this machine is at it`,
        {
          hint: `wait for it; if process ${pid} is no cloudimg, remove "${path}"`,
          data: { pid },
        },
      )
    }
    await rm(path, { force: true })
  }
}
