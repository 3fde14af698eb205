import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { must } from './command.ts'
import { isAlive, processIdentity } from './process-identity.ts'

/** A directory of a test's own, on a disk, that vanishes with everything that programs mounted inside. */
export interface Scratch extends AsyncDisposable {
  readonly path: string
}

const scratchHome = '/var/tmp'

/** /var/tmp is on a disk where /tmp may be memory; paths stay short: podman takes 50 characters, a socket 108. */
export async function makeScratch(): Promise<Scratch> {
  await clearAbandoned()
  const path = await mkdtemp(join(scratchHome, `cloudimg-${processIdentity()}-`))
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      await unmountBelow(path)
      await rm(path, { recursive: true, force: true })
    },
  }
}

/** What is mounted at or below the path, innermost last. */
export async function mountsBelow(path: string): Promise<readonly string[]> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map(line => line.split(' ')[1] ?? '')
  return mounts.filter(mount => mount === path || mount.startsWith(`${path}/`))
}

/** What killed runs left. A daemon of theirs may still be on its way out, so what resists is left to the next run. */
async function clearAbandoned(): Promise<void> {
  for (const name of await readdir(scratchHome)) {
    const owner = /^cloudimg-(\d+-\d+)-/.exec(name)?.[1]
    if (owner === undefined || isAlive(owner)) continue
    const path = join(scratchHome, name)
    await unmountBelow(path).catch(() => {})
    if ((await mountsBelow(path)).length === 0) await rm(path, { recursive: true, force: true }).catch(() => {})
  }
}

async function unmountBelow(path: string): Promise<void> {
  for (const mount of [...(await mountsBelow(path))].reverse()) await must(['umount', '-l', mount])
}
