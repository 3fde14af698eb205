import type { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import { CloudimgError, errnoOf, reasonOf } from '../core/error.ts'
import { connectEngine, findEngineSocket } from './engine.ts'

/**
 * An image of docker's daemon (`DOCKER_HOST`, else its usual socket) as `docker save` gives it.
 * @throws IMAGE_NOT_FOUND where the daemon has none of that name; EXECUTOR_UNAVAILABLE where it does not answer.
 */
export async function saveFromDaemon(name: string, ctx: Context): Promise<Readable> {
  const docker = await connectEngine(await findEngineSocket('docker'))
  ctx.signal.throwIfAborted()
  try {
    const image = docker.getImage(name)
    await image.inspect()
    return (await image.get()) as Readable
  } catch (error) {
    if (isNotFound(error)) {
      throw new CloudimgError('IMAGE_NOT_FOUND', `looking for "${name}": docker's daemon has no such image`, {
        hint: `run docker images to see what it has`,
        cause: error,
      })
    }
    const why = errnoOf(error) === 'ENOENT' ? 'there is no socket of it' : reasonOf(error)
    throw new CloudimgError('EXECUTOR_UNAVAILABLE', `asking docker's daemon for "${name}": ${why}`, {
      hint: 'start it, or set DOCKER_HOST; or save the image and name the file: docker-archive:PATH',
      cause: error,
    })
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && 'statusCode' in error && error.statusCode === 404
}
