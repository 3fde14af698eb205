import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { must } from './command.ts'

/** A directory of a test's own, on a disk, that vanishes with everything that programs mounted inside. */
export interface Scratch extends AsyncDisposable {
  readonly path: string
}

/** /var/tmp is on a disk where /tmp may be memory; the paths stay short enough for sockets (108 bytes). */
export async function makeScratch(name: string): Promise<Scratch> {
  const path = await mkdtemp(`/var/tmp/cloudimg-${name}-`)
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

async function unmountBelow(path: string): Promise<void> {
  for (const mount of [...(await mountsBelow(path))].reverse()) await must(['umount', '-l', mount])
}
