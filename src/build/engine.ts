import type Dockerode from 'dockerode'
import { join } from 'node:path'
import { statIfPresent } from '../io/files.ts'

// The one file that loads dockerode, when an engine is asked for something: it brings gRPC and ssh along.

/** A container engine of this machine that speaks docker's API. */
export type Engine = 'docker' | 'podman'

/** Where an engine may listen, the user's own wish first. */
function socketsOf(engine: Engine): readonly string[] {
  const { XDG_RUNTIME_DIR = '' } = process.env
  const wish = wishFor(engine)
  if (wish !== '') return wish.startsWith('unix://') ? [wish.slice('unix://'.length)] : []
  if (engine === 'docker') return ['/var/run/docker.sock', join(XDG_RUNTIME_DIR || '/nonexistent', 'docker.sock')]
  return [join(XDG_RUNTIME_DIR || '/nonexistent', 'podman/podman.sock'), '/run/podman/podman.sock']
}

function wishFor(engine: Engine): string {
  const { DOCKER_HOST = '', CONTAINER_HOST = '' } = process.env
  return engine === 'docker' ? DOCKER_HOST : CONTAINER_HOST
}

export async function findEngineSocket(engine: Engine): Promise<string | undefined> {
  for (const path of socketsOf(engine))
    if ((await statIfPresent(path).catch(() => undefined))?.isSocket() === true) return path
  return undefined
}

/** Why `findEngineSocket` finds none. */
export function noEngineSocket(engine: Engine): string {
  const wish = wishFor(engine)
  if (wish !== '' && !wish.startsWith('unix://')) return `"${wish}" is no socket of this machine`
  return `no socket at ${socketsOf(engine)
    .filter(path => !path.startsWith('/nonexistent'))
    .join(' or ')}`
}

/** By its socket; without one by whatever `DOCKER_HOST` says, or docker's usual place. */
export async function connectEngine(socketPath: string | undefined): Promise<Dockerode> {
  const { default: Docker } = await import('dockerode')
  return new Docker(socketPath === undefined ? {} : { socketPath })
}
