import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { type Digest, digestOf } from '../../src/core/digest.ts'
import { digestMismatch, sizeMismatch, verifying } from '../../src/io/hash.ts'
import type { Descriptor } from '../../src/oci/descriptor.ts'
import type { ServedName, ServeStore } from '../../src/oci/serve/serve-store.ts'

/** A store in memory for the embedded registry, open to a test's eyes. */
export interface MemoryStore extends ServeStore {
  readonly blobs: Map<Digest, Buffer>
  /** By `host/repository:tag`. */
  readonly names: Map<string, Descriptor>
}

export function memoryStore(): MemoryStore {
  const blobs = new Map<Digest, Buffer>()
  const names = new Map<string, Descriptor>()
  const referrers = new Map<Digest, Descriptor[]>()
  const deleted = new Set<string>()
  const key = ({ host, repository }: ServedName, tag: string): string => `${host}/${repository}:${tag}`
  return {
    blobs,
    names,
    sizeOf: async digest => blobs.get(digest)?.length,
    open: async (digest, size, _ctx, range) => {
      const bytes = blobs.get(digest) ?? Buffer.alloc(0)
      if (range === undefined) return verifying(Readable.from([bytes]), { digest, size }, `blob ${digest}`)
      const end = range.length === undefined ? undefined : range.offset + range.length
      return Readable.from([bytes.subarray(range.offset, end)])
    },
    ingest: async (body, expected) => {
      const bytes = await buffer(body)
      const digest = digestOf(bytes)
      if (expected.size !== undefined && expected.size !== bytes.length)
        throw sizeMismatch('upload', expected.size, bytes.length)
      if (expected.digest !== undefined && expected.digest !== digest)
        throw digestMismatch('upload', expected.digest, digest)
      blobs.set(digest, bytes)
      return { digest, size: bytes.length }
    },
    resolve: async (name, tag) => names.get(key(name, tag)),
    tag: async (name, tag, target) => void names.set(key(name, tag), target),
    untag: async (name, tag) => names.delete(key(name, tag)),
    tags: async name => {
      const prefix = key(name, '')
      return [...names.keys()].flatMap(text => (text.startsWith(prefix) ? [text.slice(prefix.length)] : [])).sort()
    },
    repositories: async host => {
      const paths = [...names.keys()].flatMap(text =>
        text.startsWith(`${host}/`) ? [text.slice(host.length + 1, text.lastIndexOf(':'))] : [],
      )
      return [...new Set(paths)].sort()
    },
    isDeleted: async (name, digest) => deleted.has(key(name, digest)),
    setDeleted: async (name, digest, is) =>
      void (is ? deleted.add(key(name, digest)) : deleted.delete(key(name, digest))),
    referrers: async subject => referrers.get(subject) ?? [],
    addReferrer: async ({ subject, referrer }) => {
      const others = (referrers.get(subject) ?? []).filter(entry => entry.digest !== referrer.digest)
      referrers.set(subject, [...others, referrer])
    },
  }
}
