import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../io/exec.ts'
import { readdirIfPresent, withFileErrors } from '../../io/files.ts'
import { ownIdentity, processState } from '../../io/process-identity.ts'
import { releaseEngines } from './engine-note.ts'

/** Below a store: one directory for each stage whose commands run now, named by the process that runs them. */
export function workspaces(home: string): string {
  return join(home, 'run')
}

/** A new private directory. What is below it belongs to the tree's root, which may be another user. */
export async function makeWorkspace(home: string): Promise<string> {
  const directory = join(workspaces(home), `${ownIdentity()}.${randomBytes(4).toString('hex')}`)
  await withFileErrors('making', directory, () => mkdir(directory, { recursive: true, mode: 0o755 }))
  return directory
}

/** The workspaces of processes that are gone. */
export async function abandonedWorkspaces(home: string): Promise<readonly string[]> {
  const names = await readdirIfPresent(workspaces(home))
  const abandoned = names.filter(name => processState(name.split('.')[0] ?? '') === 'gone')
  return abandoned.map(name => join(workspaces(home), name))
}

/** Where secrets lie while a command has them: in memory, where there is such a place. */
export const secretPlaces = '/dev/shm'

async function abandonedSecrets(): Promise<readonly string[]> {
  const names = await readdirIfPresent(secretPlaces)
  const abandoned = names.filter(name => {
    const owner = /^cloudimg-secret-([^.]+)\./.exec(name)?.[1]
    return owner !== undefined && processState(owner) === 'gone'
  })
  return abandoned.map(name => join(secretPlaces, name))
}

/** Ends what still runs there, and removes it. What resists is left to the next time. */
export async function clearAbandonedRuns(home: string): Promise<void> {
  for (const directory of await abandonedWorkspaces(home)) {
    await killInside(directory)
    await releaseEngines(directory)
    await removeWorkspace(directory)
  }
  for (const directory of await abandonedSecrets()) await removeWorkspace(directory)
}

/** Content may belong to users whom only a user namespace may stand for. */
export async function removeWorkspace(directory: string): Promise<void> {
  const ctx = { signal: AbortSignal.timeout(120_000), events: () => {} }
  const ways = [
    [],
    ['unshare', '--user', '--map-auto', '--map-root-user', '--'],
    ['unshare', '--user', '--map-root-user', '--'],
  ]
  for (const as of ways) {
    const ended = await run([...as, 'rm', '-rf', '--', directory], {}, ctx).catch(() => undefined)
    if (ended?.code === 0) return
  }
}

/** Processes whose root lies there: those of an executor without a process namespace. */
export async function killInside(directory: string): Promise<void> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const root = await readlink(`/proc/${name}/root`).catch(() => '')
    if (root !== directory && !root.startsWith(`${directory}/`)) continue
    try {
      process.kill(Number(name), 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
}
