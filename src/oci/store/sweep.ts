import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Digest, isDigest } from '../../core/digest.ts'
import { CloudimgError, errnoOf } from '../../core/error.ts'
import { readdirIfPresent, withFileErrors } from '../../io/files.ts'
import { ownIdentity, pidOf, processState } from '../../io/process-identity.ts'
import type { StoreLayout } from './layout.ts'

/** Of a process that cannot be looked at nothing is believed that is older. */
const elsewhereMs = 10 * 60_000
/** A sweep takes milliseconds for each thousand blobs. */
const patienceMs = 5 * 60_000

/**
 * Runs `work` while no process begins to rely on anything in the store: whoever asks waits until it is over, and what was
 * asked for before is in `readPins`. Keep it short. Several may sweep at once.
 */
export async function whileSweeping<T>(layout: StoreLayout, work: () => Promise<T>): Promise<T> {
  const path = join(layout.sweeps, `${ownIdentity()}.${randomBytes(4).toString('hex')}`)
  await withFileErrors('announcing a sweep of the store in', layout.sweeps, async () => {
    // Not with `recursive`: on a read-only file system that says ENOENT.
    await mkdir(layout.sweeps).catch((error: unknown) => {
      if (errnoOf(error) !== 'EEXIST') throw error
    })
    await writeFile(path, '', { flag: 'wx' })
  })
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

/** @throws STORE_LOCKED where a sweep does not end. */
export async function sweepsEnded(directory: string): Promise<void> {
  for (let waited = 0; ; waited += 10) {
    const sweeper = sweeperIn(directory)
    if (sweeper === undefined) return
    if (waited > patienceMs) {
      throw new CloudimgError(
        'STORE_LOCKED',
        `waiting for process ${pidOf(sweeper)}: it sweeps the store and does not end`,
        {
          hint: `see what it does, or remove "${join(directory, sweeper)}" where there is no such process`,
        },
      )
    }
    await sleep(10)
  }
}

function sweeperIn(directory: string): string | undefined {
  let names: readonly string[] = []
  try {
    names = readdirSync(directory)
  } catch {
    return undefined
  }
  return names.find(name => {
    const path = join(directory, name)
    const state = processState(name.split('.')[0]!)
    if (state === 'running') return true
    const mtime = statSync(path, { throwIfNoEntry: false })?.mtimeMs
    if (state === 'elsewhere' && mtime !== undefined && Date.now() - mtime < elsewhereMs) return true
    if (mtime !== undefined) rmSync(path, { force: true })
    return false
  })
}

/** What running processes rely on, each digest with one of those processes. Leases of ended ones are removed. */
export async function readPins(layout: StoreLayout): Promise<ReadonlyMap<Digest, number>> {
  const pins = new Map<Digest, number>()
  for (const name of await readdirIfPresent(layout.leases)) {
    const path = join(layout.leases, name)
    const [identity = '', , forget = '0'] = name.split('.')
    if (!(await isHeld(identity, path))) {
      await rm(path, { force: true }).catch(() => undefined)
      continue
    }
    const oldest = forget === '0' ? 0 : Math.floor(Date.now() / 1000) - Number(forget)
    // Gone between listing and reading: its process has ended by itself.
    for (const line of (await readFile(path, 'latin1').catch(() => '')).split('\n')) {
      const [hex, since] = line.split(' ')
      const digest = `sha256:${hex}`
      if (isDigest(digest) && Number(since) >= oldest) pins.set(digest, pidOf(identity))
    }
  }
  return pins
}

async function isHeld(identity: string, path: string): Promise<boolean> {
  const state = processState(identity)
  if (state !== 'elsewhere') return state === 'running'
  const stats = await stat(path).catch(() => undefined)
  return stats !== undefined && Date.now() - stats.mtimeMs < elsewhereMs
}
