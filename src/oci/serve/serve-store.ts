import type { Readable } from 'node:stream'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import type { Descriptor } from '../descriptor.ts'
import type { ByteRange } from '../ends.ts'
import type { Relation } from '../relation.ts'

/** A repository as a client named it: the registry's host as the client used it, and the path behind. */
export interface ServedName {
  readonly host: string
  readonly repository: string
}

/**
 * What the embedded registry needs of a store. Blobs are one pool for all repositories; manifests are blobs too. Reads by
 * digest are not tied to a repository: whoever knows a digest may have the bytes, unless it was deleted from that repository.
 */
export interface ServeStore {
  /** Undefined where the blob is absent. */
  sizeOf(digest: Digest, ctx: Context): Promise<number | undefined>
  /** Whole reads are verified while read. */
  open(digest: Digest, size: number, ctx: Context, range?: ByteRange): Promise<Readable>
  /** @throws DIGEST_MISMATCH, SIZE_MISMATCH where the bytes are not those expected; nothing is kept then. */
  ingest(
    body: Readable,
    expected: { readonly digest?: Digest; readonly size?: number },
    ctx: Context,
  ): Promise<{ readonly digest: Digest; readonly size: number }>
  resolve(name: ServedName, tag: string, ctx: Context): Promise<Descriptor | undefined>
  tag(name: ServedName, tag: string, target: Descriptor, ctx: Context): Promise<void>
  /** False where there was no such tag. */
  untag(name: ServedName, tag: string, ctx: Context): Promise<boolean>
  /** In byte order; empty for an unknown repository. */
  tags(name: ServedName, ctx: Context): Promise<readonly string[]>
  /** Paths below that host, in byte order. */
  repositories(host: string, ctx: Context): Promise<readonly string[]>
  /** Whether the repository answers as if the digest were absent, whatever the pool has. */
  isDeleted(name: ServedName, digest: Digest, ctx: Context): Promise<boolean>
  /** Other repositories and the store's own names keep what they have: gc removes what none of them needs. */
  setDeleted(name: ServedName, digest: Digest, deleted: boolean, ctx: Context): Promise<void>
  referrers(subject: Digest, ctx: Context): Promise<readonly Descriptor[]>
  addReferrer(relation: Relation, ctx: Context): Promise<void>
}
