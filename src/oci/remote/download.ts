import type { Readable } from 'node:stream'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import type { HttpResponse } from '../../io/http.ts'
import { streamOf } from '../../io/read-file.ts'
import { retry } from '../../io/retry.ts'
import type { ByteRange } from '../ends.ts'
import type { RegistryClient, RegistryRequest } from './client.ts'

/**
 * A blob's bytes. A connection that breaks is taken up again where it broke, as often as it still makes progress.
 * The first answer is waited for, so that what the registry refuses is thrown here and not by the stream.
 */
export async function download(
  client: RegistryClient,
  request: BlobRequest,
  size: number,
  range: ByteRange | undefined,
  ctx: Context,
): Promise<Readable> {
  const from = range?.offset ?? 0
  const to = range?.length === undefined ? size : Math.min(size, from + range.length)
  if (range !== undefined && from >= to) return streamOf(nothing())
  let part = await askFrom(client, request, from, to, size, ctx)
  // More than was asked for is passed on where the whole blob is read: the digest check must see it.
  const limitAt = (at: number): number => (range === undefined ? Number.POSITIVE_INFINITY : to - at)
  let at = from
  let pieces = wanted(part, limitAt(at))
  const read = async (): Promise<Buffer | undefined> => {
    const next = await pieces.next()
    if (next.done !== true) return next.value
    if (at < to)
      throw new CloudimgError('NETWORK', `${request.doing}: the answer ended early`, { data: { retryable: true } })
    return undefined
  }
  // The failure at hand counts as the first try; a new piece, not a new answer, gives all tries back.
  const resume = (broken: unknown): Promise<Buffer | undefined> =>
    retry(
      request.doing,
      async attempt => {
        if (attempt === 1) throw broken
        part = await askFrom(client, { ...request, retry: false }, at, to, size, ctx)
        pieces = wanted(part, limitAt(at))
        return await read()
      },
      ctx,
      client.retryOptions,
    )
  const chunks = async function* (): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = await read().catch(resume)
      if (chunk === undefined) return
      at += chunk.length
      yield chunk
    }
  }
  // On close rather than in the generator: a stream that nobody reads never starts one.
  return streamOf(chunks()).once('close', () => part.response.body.destroy())
}

type BlobRequest = Omit<RegistryRequest, 'method' | 'accept' | 'headers' | 'follow'>

async function* nothing(): AsyncGenerator<Buffer> {}

/** An answer, and how many of its first bytes are none of those asked for. */
interface Part {
  readonly response: HttpResponse
  readonly surplus: number
}

async function askFrom(
  client: RegistryClient,
  request: BlobRequest,
  at: number,
  to: number,
  size: number,
  ctx: Context,
): Promise<Part> {
  const partial = at > 0 || to < size
  const headers: Record<string, string> = partial ? { range: `bytes=${at}-${to - 1}` } : {}
  const response = await client.request({ ...request, method: 'GET', headers, accept: [200, 206], follow: true }, ctx)
  if (response.status === 200) return { response, surplus: at }
  const start = Number(/^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1] ?? Number.NaN)
  if (start === at) return { response, surplus: 0 }
  response.body.destroy()
  throw new CloudimgError(
    'REGISTRY_ERROR',
    `${request.doing}: asked for bytes from ${at}, got "${response.headers['content-range'] ?? ''}"`,
  )
}

async function* wanted(part: Part, length: number): AsyncGenerator<Buffer> {
  let { surplus } = part
  let left = length
  for await (const chunk of part.response.body as AsyncIterable<Buffer>) {
    const skipped = Math.min(surplus, chunk.length)
    surplus -= skipped
    const piece = chunk.subarray(skipped, skipped + Math.min(left, chunk.length - skipped))
    left -= piece.length
    if (piece.length > 0) yield piece
    if (left <= 0) return
  }
}
