import type { Readable } from 'node:stream'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { type CloudimgError, isCloudimgError } from '../../core/error.ts'
import type { Descriptor } from '../descriptor.ts'
import type { ByteRange, ImageSource, Place } from '../ends.ts'
import type { RemoteRepository } from './registry.ts'

/**
 * A repository read through its mirrors, each in turn, the registry itself last. What a mirror lacks or cannot give is
 * asked of the next; one that cannot be reached at all is not asked again. Digests hold whatever a mirror sends; a tag is what the
 * first mirror that has it says.
 */
export function mirroredSource(mirrors: readonly RemoteRepository[], origin: RemoteRepository): ImageSource {
  return new MirroredSource(mirrors, origin)
}

class MirroredSource implements ImageSource {
  readonly place: Place
  readonly #origin: RemoteRepository
  #mirrors: readonly RemoteRepository[]

  constructor(mirrors: readonly RemoteRepository[], origin: RemoteRepository) {
    this.place = origin.place
    this.#mirrors = mirrors
    this.#origin = origin
  }

  resolve(name: string, ctx: Context): Promise<Descriptor | undefined> {
    return this.#ask(
      place => place.resolve(name, ctx),
      found => found !== undefined,
      ctx,
    )
  }

  has(blob: Descriptor, ctx: Context): Promise<boolean> {
    return this.#ask(
      place => place.has(blob, ctx),
      found => found,
      ctx,
    )
  }

  open(blob: Descriptor, ctx: Context, range?: ByteRange): Promise<Readable> {
    return this.#ask(
      place => place.open(blob, ctx, range),
      () => true,
      ctx,
    )
  }

  /** A registry out of reach does not keep what a mirror has from being read: the mirror's list is taken then. */
  async referrers(subject: Digest, ctx: Context): Promise<readonly Descriptor[]> {
    let answered = false
    const list = async (place: RemoteRepository): Promise<readonly Descriptor[]> => {
      const found = await place.referrers(subject, ctx)
      answered = true
      return found
    }
    try {
      return await this.#ask(list, found => found.length > 0, ctx)
    } catch (error) {
      if (answered && isRefusal(error)) return []
      throw error
    }
  }

  async #ask<T>(
    work: (place: RemoteRepository) => Promise<T>,
    suffices: (found: T) => boolean,
    ctx: Context,
  ): Promise<T> {
    for (const mirror of this.#mirrors) {
      try {
        const found = await work(mirror)
        if (suffices(found)) return found
      } catch (error) {
        if (!isRefusal(error)) throw error
        this.#passOver(mirror, error, ctx)
      }
    }
    return await work(this.#origin)
  }

  #passOver(mirror: RemoteRepository, error: CloudimgError, ctx: Context): void {
    if (error.code === 'IMAGE_NOT_FOUND' || !this.#mirrors.includes(mirror)) return
    this.#mirrors = this.#mirrors.filter(other => other !== mirror)
    const { registry, repository } = mirror.place
    ctx.events({
      kind: 'warning',
      code: 'mirror',
      message: `the mirror "${registry}/${repository}" is passed over: ${error.message}`,
    })
  }
}

const refusals = new Set([
  'NETWORK',
  'REGISTRY_ERROR',
  'REGISTRY_AUTH',
  'REGISTRY_DENIED',
  'IMAGE_NOT_FOUND',
  'DIGEST_MISMATCH',
  'IMAGE_INVALID',
])

function isRefusal(error: unknown): error is CloudimgError {
  return isCloudimgError(error) && refusals.has(error.code)
}
