import { join } from 'node:path'
import { attempt } from './command.ts'
import { startDaemon } from './daemon.ts'
import { openContainerTools } from './engines.ts'
import { requireProgram } from '../../scripts/lab/debian.ts'

export interface PodmanService extends AsyncDisposable {
  /** For CONTAINER_HOST and dockerode. */
  readonly socket: string
}

/** podman's API, with a store of its own. */
export async function startPodmanService(): Promise<PodmanService> {
  const podman = await requireProgram({ program: 'podman', package: 'podman' })
  const curl = await requireProgram({ program: 'curl', package: 'curl' })
  await using stack = new AsyncDisposableStack()
  const { home, env } = stack.use(await openContainerTools())
  const socket = join(home, 'podman.sock')
  const storage = ['--root', join(home, 'storage'), '--runroot', join(home, 'run')]
  const flags = ['--cgroup-manager', 'cgroupfs', '--events-backend', 'none', '--tmpdir', join(home, 'libpod')]
  const ready = async (): Promise<true | undefined> =>
    (await attempt([curl, '-s', '--unix-socket', socket, 'http://d/_ping'])).stdout === 'OK' ? true : undefined
  const argv = [podman, ...storage, ...flags, 'system', 'service', '--time=0', `unix://${socket}`]
  stack.use(await startDaemon(argv, { log: join(home, 'service.log'), ready, env }))
  const parts = stack.move()
  return { socket, [Symbol.asyncDispose]: async () => await parts.disposeAsync() }
}
