import { type Readable, Transform, type TransformCallback } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { sizeMismatch } from '../../io/hash.ts'
import type { HttpResponse } from '../../io/http.ts'
import type { Descriptor } from '../descriptor.ts'
import type { BlobSource } from '../ends.ts'
import type { RegistryClient, RegistryRequest } from './client.ts'

/** An upload session at the registry; each answer may move it. */
export interface Session {
  readonly location: URL
  /** OCI-Chunk-Min-Length; 0 where the registry names none. */
  readonly minChunkBytes: number
}

export interface Upload {
  readonly client: RegistryClient
  readonly repository: string
  readonly blob: Descriptor
  readonly source: BlobSource
  /** The first size that is tried where the registry takes no whole blob. */
  readonly chunkBytes: number
  readonly progress: (bytes: number) => void
}

/** A registry may check a large blob before it answers: silence is longer here than elsewhere. */
export const uploadStallMs = 300_000

export function doingOf({ client, repository, blob }: Upload): string {
  return `uploading blob ${blob.digest} to ${client.registry}/${repository}`
}

/** What all requests of an upload have in common. */
export function uploadRequest(
  upload: Upload,
): Pick<RegistryRequest, 'access' | 'side' | 'doing' | 'stallMs' | 'retry'> {
  const access = [{ repository: upload.repository, actions: 'pull,push' }] as const
  return { access, side: 'target', doing: doingOf(upload), stallMs: uploadStallMs, retry: false }
}

/** Where the session is after an answer; it stays where it was if the answer does not say. */
export async function sessionOf(
  upload: Upload,
  response: HttpResponse,
  before: Session | undefined,
  ctx: Context,
): Promise<Session> {
  const { location } = response.headers
  if (location === undefined) {
    if (before !== undefined) return before
    throw new CloudimgError('REGISTRY_ERROR', `${doingOf(upload)}: the registry opened no upload session (no Location)`)
  }
  const min = Number(response.headers['oci-chunk-min-length'] ?? before?.minChunkBytes ?? 0)
  return {
    location: upload.client.locate(location, response.url, await upload.client.endpoint(ctx)),
    minChunkBytes: Number.isSafeInteger(min) && min > 0 ? min : 0,
  }
}

/** The session's URL for the closing PUT. The registry's own query is state of its and stays as it is. */
export function closingUrl(session: Session, blob: Descriptor): URL {
  const url = new URL(session.location)
  url.search = `${url.search === '' ? '?' : `${url.search}&`}digest=${encodeURIComponent(blob.digest)}`
  return url
}

/**
 * A body of exactly `length` bytes that tells how far it was read, counted from `start`. A source that gives less or more
 * would otherwise look like a broken connection. @throws SIZE_MISMATCH, by the stream.
 */
export function bodyOf(
  source: Readable,
  length: number,
  what: string,
  progress: (bytes: number) => void,
  start = 0,
): { readonly stream: Readable; readonly length: number } {
  const body = new SizedStream(length, what, sent => progress(start + sent))
  pipeline(source, body).catch((error: unknown) =>
    body.destroy(error instanceof Error ? error : new Error(String(error))),
  )
  return { stream: body, length }
}

class SizedStream extends Transform {
  readonly #length: number
  readonly #what: string
  readonly #onSent: (bytes: number) => void
  #sent = 0

  constructor(length: number, what: string, onSent: (bytes: number) => void) {
    super({ highWaterMark: MiB })
    this.#length = length
    this.#what = what
    this.#onSent = onSent
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#sent += chunk.length
    if (this.#sent > this.#length) {
      done(sizeMismatch(this.#what, this.#length, `more than ${this.#length}`))
      return
    }
    this.#onSent(this.#sent)
    done(null, chunk)
  }

  override _flush(done: TransformCallback): void {
    if (this.#sent < this.#length) done(sizeMismatch(this.#what, this.#length, this.#sent))
    else done()
  }
}
