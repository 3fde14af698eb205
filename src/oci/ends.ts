import type { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import type { Piece } from '../io/pieces.ts'
import type { Descriptor } from './descriptor.ts'

/** Bytes from `offset`, `length` of them or to the end. */
export interface ByteRange {
  readonly offset: number
  readonly length?: number
}

/** A repository on a registry. */
export interface Place {
  readonly registry: string
  readonly repository: string
}

export interface BlobReader {
  has(blob: Descriptor, ctx: Context): Promise<boolean>
  /** Whole reads are verified while read: the stream fails unless size and digest are the descriptor's. */
  open(blob: Descriptor, ctx: Context, range?: ByteRange): Promise<Readable>
  /** Where the bytes lie on this machine, verified: to be copied without a stream. Absent where they lie elsewhere. */
  pieces?(blob: Descriptor, ctx: Context): Promise<readonly Piece[]>
}

/** Bytes that can be opened again: retries and resumed uploads need that. */
export interface BlobSource {
  open(range?: ByteRange): Promise<Readable>
  /** Where the blob lies already: a registry mounts it from there instead of taking an upload. */
  readonly from?: Place
  /** The target was asked a moment ago and lacks it. */
  readonly isMissing?: true
}

/** `resumed`: what an earlier try had left was kept, and the rest written. */
export type Written = 'written' | 'resumed' | 'present' | 'mounted'

export interface BlobWriter {
  /** True where `write` itself compares digest and size with what it was told. */
  readonly verifiesWrites?: true
  /** Which of these it lacks, asked for side by side: for targets to which every question is a journey. */
  missing?(blobs: readonly Descriptor[], ctx: Context): Promise<ReadonlySet<Digest>>
  /** No-op if present. `progress` is told the bytes written so far. */
  write(expected: Descriptor, source: BlobSource, ctx: Context, progress?: (bytes: number) => void): Promise<Written>
}

export interface RefReader {
  /** Undefined where the name is unknown. In the store a name is a full reference; in a repository a tag or a digest. */
  resolve(name: string, ctx: Context): Promise<Descriptor | undefined>
  /** Manifests whose `subject` is that digest: signatures, SBOMs. */
  referrers(subject: Digest, ctx: Context): Promise<readonly Descriptor[]>
}

export interface RefWriter {
  tag(name: string, target: Descriptor, ctx: Context): Promise<void>
}

/** Where an image lies, for `copyImage`: manifests and indexes are blobs too, told apart by their media type. */
export type ImageSource = BlobReader & RefReader & { readonly place?: Place }
export type ImageTarget = BlobReader & BlobWriter & RefWriter
