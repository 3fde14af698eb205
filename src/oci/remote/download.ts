import { Readable } from 'node:stream'
import { MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { drain, type HttpResponse } from '../../io/http.ts'
import { retry } from '../../io/retry.ts'
import type { ByteRange } from '../ends.ts'
import type { RegistryClient, RegistryRequest } from './client.ts'

type BlobRequest = Omit<RegistryRequest, 'method' | 'accept' | 'headers' | 'follow'>

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
  if (range !== undefined && from >= to) return Readable.from([], { objectMode: false })
  const ask = (at: number, tries: { readonly retry?: false }): Promise<Part> =>
    askFrom(client, { ...request, ...tries }, at, to, size, ctx)
  // More than was asked for is passed on where the whole blob is read: the digest check must see it.
  const limit = range === undefined ? Number.POSITIVE_INFINITY : to
  const takeUp = (broken: unknown, work: () => Promise<void>): Promise<void> =>
    // The failure at hand counts as the first try; a new piece, not a new answer, gives all tries back.
    retry(
      request.doing,
      async attempt => {
        if (attempt === 1) throw broken
        await work()
      },
      ctx,
      client.retryOptions,
    )
  return new BlobDownload({ from, to, limit, ask, takeUp, doing: request.doing }, await ask(from, {}))
}

/** An answer, and how many of its first bytes are none of those asked for. */
interface Part {
  readonly response: HttpResponse
  readonly surplus: number
}

interface DownloadPlan {
  readonly from: number
  /** The end of what is wanted; an answer that ends earlier is broken. */
  readonly to: number
  /** No byte behind it is passed on. */
  readonly limit: number
  readonly doing: string
  readonly ask: (at: number, tries: { readonly retry?: false }) => Promise<Part>
  readonly takeUp: (broken: unknown, work: () => Promise<void>) => Promise<void>
}

/** Events and no iterators: an await for each piece costs as much as hashing it (facts/oci.md §7.2). */
class BlobDownload extends Readable {
  readonly #plan: DownloadPlan
  #at: number
  #body: Readable | undefined

  constructor(plan: DownloadPlan, first: Part) {
    super({ highWaterMark: MiB })
    this.#plan = plan
    this.#at = plan.from
    this.#follow(first).catch((error: unknown) => this.#takeUp(error))
  }

  /** Passes an answer's bytes on. Resolves with the first of them, or at the end; what breaks later is taken up by itself. */
  #follow({ response, surplus }: Part): Promise<void> {
    const { body } = response
    this.#body = body
    let skip = surplus
    return new Promise((resolve, reject) => {
      let moved = false
      const broken = (error: unknown): void => {
        if (this.#body === body) this.#body = undefined
        if (moved) this.#takeUp(error)
        else reject(error instanceof Error ? error : new Error(String(error)))
      }
      body.on('data', (chunk: Buffer) => {
        const piece = chunk.subarray(Math.min(skip, chunk.length)).subarray(0, this.#plan.limit - this.#at)
        skip -= Math.min(skip, chunk.length)
        if (piece.length === 0) return
        moved = true
        resolve()
        this.#at += piece.length
        if (!this.push(piece)) body.pause()
        if (this.#at >= this.#plan.limit) this.#end(response)
      })
      body.once('end', () => {
        if (this.#at < this.#plan.to) {
          broken(endedEarly(this.#plan.doing))
          return
        }
        resolve()
        this.#end(response)
      })
      body.once('error', broken)
    })
  }

  // The connection serves again if its last bytes are read.
  #end(response: HttpResponse): void {
    if (this.#body !== response.body) return
    this.#body = undefined
    this.push(null)
    void drain(response)
  }

  #takeUp(broken: unknown): void {
    if (this.destroyed) return
    const again = async (): Promise<void> => {
      const part = await this.#plan.ask(this.#at, { retry: false })
      if (this.destroyed) part.response.body.destroy()
      else await this.#follow(part)
    }
    this.#plan.takeUp(broken, again).catch((error: unknown) => {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
    })
  }

  override _read(): void {
    this.#body?.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#body?.destroy()
    done(error)
  }
}

function endedEarly(doing: string): CloudimgError {
  return new CloudimgError('NETWORK', `${doing}: the answer ended early`, { data: { retryable: true } })
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
