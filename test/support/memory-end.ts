import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Digest } from '../../src/core/digest.ts'
import { CloudimgError } from '../../src/core/error.ts'
import { verifying } from '../../src/io/hash.ts'
import type { Descriptor } from '../../src/oci/descriptor.ts'
import type { ImageSource, ImageTarget } from '../../src/oci/ends.ts'
import type { Sample } from './sample-image.ts'

/** Both ends of a copy, in memory. */
export interface MemoryEnd extends ImageSource, ImageTarget {
  readonly blobs: Map<Digest, Buffer>
  readonly names: Map<string, Descriptor>
  readonly referring: Map<Digest, readonly Descriptor[]>
}

export function memoryEnd(samples: readonly Sample[] = []): MemoryEnd {
  const blobs = new Map<Digest, Buffer>(samples.map(({ descriptor, bytes }) => [descriptor.digest, bytes]))
  const names = new Map<string, Descriptor>()
  const referring = new Map<Digest, readonly Descriptor[]>()
  return {
    blobs,
    names,
    referring,
    has: async blob => blobs.has(blob.digest),
    open: async (blob, _ctx, range) => {
      const bytes = blobs.get(blob.digest)
      if (bytes === undefined) throw new CloudimgError('IMAGE_NOT_FOUND', `opening blob ${blob.digest}: not in memory`)
      if (range === undefined) return verifying(Readable.from([bytes]), blob, `blob ${blob.digest}`)
      const end = range.length === undefined ? undefined : range.offset + range.length
      return Readable.from([bytes.subarray(range.offset, end)])
    },
    write: async (expected, source) => {
      if (blobs.has(expected.digest)) return 'present'
      blobs.set(expected.digest, await buffer(verifying(await source.open(), expected, `blob ${expected.digest}`)))
      return 'written'
    },
    resolve: async name => names.get(name),
    tag: async (name, target) => void names.set(name, target),
    referrers: async subject => referring.get(subject) ?? [],
  }
}
