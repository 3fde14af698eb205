import type { Digest } from '../core/digest.ts'
import type { ImageTarget, Written } from './ends.ts'

/** The target, with each blob on its way once: images that are copied side by side often share layers. */
export function singleFlight(target: ImageTarget): ImageTarget {
  const underWay = new Map<Digest, Promise<Written>>()
  return {
    ...(target.verifiesWrites === true ? { verifiesWrites: true } : {}),
    has: (blob, ctx) => target.has(blob, ctx),
    open: (blob, ctx, range) => target.open(blob, ctx, range),
    tag: (name, descriptor, ctx) => target.tag(name, descriptor, ctx),
    async write(expected, source, ctx, progress) {
      // Whoever waited looks again: it is there now, or the other one's failure was the other one's.
      while (underWay.has(expected.digest)) await underWay.get(expected.digest)?.catch(() => undefined)
      const flight = target.write(expected, source, ctx, progress).finally(() => underWay.delete(expected.digest))
      underWay.set(expected.digest, flight)
      return await flight
    },
  }
}
