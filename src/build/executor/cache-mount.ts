import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createHash } from 'node:crypto'
import type { Context } from '../../core/context.ts'
import { errnoOf } from '../../core/error.ts'
import { statIfPresent, withFileErrors } from '../../io/files.ts'
import { ownIdentity, processState } from '../../io/process-identity.ts'
import type { RunMount } from '../plan.ts'
import type { Owners } from './executor.ts'

type CacheMount = Extract<RunMount, { type: 'cache' }>

export interface CacheDirectory {
  /** What is mounted is `data` below it; not there yet where the cache is new. */
  readonly directory: string
  readonly isNew: boolean
  release(): Promise<void>
}

/** The directory of a cache mount: it outlives builds, and belongs to no image. */
export async function openCache(
  home: string,
  mount: CacheMount,
  owners: Owners,
  ctx: Context,
): Promise<CacheDirectory> {
  const name = createHash('sha256').update(`${owners} ${mount.id}`).digest('hex').slice(0, 32)
  const base = join(home, 'mounts', name)
  for (let number = 0; ; number++) {
    const directory = number === 0 ? base : `${base}.${number}`
    await withFileErrors('making', directory, () => mkdir(directory, { recursive: true }))
    const release = mount.sharing === 'shared' ? async () => {} : await tryLock(join(directory, 'lock'))
    if (release !== undefined) {
      return { directory, release, isNew: await isMissing(join(directory, 'data')) }
    }
    // A private cache is another one where this is in use; a locked one is waited for.
    if (mount.sharing === 'private') continue
    ctx.signal.throwIfAborted()
    await sleep(100)
    number--
  }
}

// A killed chroot build leaves a link that leads nowhere.
async function isMissing(path: string): Promise<boolean> {
  if ((await statIfPresent(path)) !== undefined) return false
  await rm(path, { force: true })
  return true
}

async function tryLock(path: string): Promise<(() => Promise<void>) | undefined> {
  try {
    const handle = await open(path, 'wx')
    await handle.writeFile(ownIdentity())
    await handle.close()
    return () => rm(path, { force: true })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
    const owner = await readFile(path, 'utf8').catch(() => '')
    if (owner !== '' && processState(owner) === 'gone') await rm(path, { force: true })
    return undefined
  }
}
