import { createHash, type Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, type FileHandle, open, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { GiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { CloudimgError, errnoOf, isCloudimgError } from '../core/error.ts'
import { redactUrl } from '../core/redact.ts'
import { fileError, statIfPresent, withFileErrors } from '../io/files.ts'
import { sizeMismatch } from '../io/hash.ts'
import { drain, type HttpResponse, retryAfterMs, sendFollowing } from '../io/http.ts'
import { readFileRange } from '../io/read-file.ts'
import { retry, type RetryOptions } from '../io/retry.ts'
import { describeLocation } from './mirror.ts'
import type { PartialOrigin } from '../io/partial-file.ts'
import type { PartialDownload } from './pool.ts'

/** No single artifact is larger; what a server sends beyond it is a mistake or an attack. */
export const maxArtifactBytes = 32 * GiB

export interface DownloadOptions {
  /** Named in messages: `k3s v1.31.4+k3s1 (linux/arm64)`. */
  readonly what: string
  /** Whether the digest will be compared with one that was known before: only then are bytes without a validator resumed. */
  readonly isVerified: boolean
  /** Known beforehand, from the lock. */
  readonly size: number | undefined
  readonly retry?: RetryOptions | undefined
  progress(done: number, total: number | undefined): void
}

/**
 * A file being filled, its hash growing with it: every byte is hashed once as it is written, those of an earlier process
 * once as they are read again. Not for use by two at a time.
 */
export class Download {
  readonly #partial: PartialDownload
  readonly #options: DownloadOptions
  #handle: FileHandle | undefined
  #hash: Hash = createHash('sha256')
  #size = 0
  #furthest = 0
  #origin: PartialOrigin | undefined
  /** Whether bytes of an earlier answer are part of the file: what does not match then may be their fault. */
  isResumed = false

  constructor(partial: PartialDownload, options: DownloadOptions) {
    this.#partial = partial
    this.#options = options
    this.#origin = partial.origin
  }

  /** The whole content of `url`. @throws ARTIFACT_UNAVAILABLE (`notFound` in its data), NETWORK, SIZE_MISMATCH, DISK_FULL */
  async take(url: URL, ctx: Context): Promise<{ readonly digest: Digest; readonly size: number }> {
    if (url.protocol === 'file:') await this.#copy(url, ctx)
    else await this.#fetch(url, ctx)
    return { digest: `sha256:${this.#hash.copy().digest('hex')}`, size: this.#size }
  }

  /** Throws away what is there. */
  async restart(): Promise<void> {
    await this.#handle?.close()
    this.#handle = await withFileErrors('writing', this.#partial.path, () => open(this.#partial.path, 'w+', 0o644))
    this.#hash = createHash('sha256')
    this.#size = 0
    this.#origin = undefined
    this.isResumed = false
    await this.#partial.remember(undefined)
  }

  async close(): Promise<void> {
    await this.#handle?.close()
    this.#handle = undefined
  }

  // A connection that is cut again and again still gets there: the tries are counted anew whenever one brought new bytes.
  async #fetch(url: URL, ctx: Context): Promise<void> {
    await this.#reopen(ctx)
    for (;;) {
      const reached = this.#furthest
      try {
        await retry(`fetching ${this.#options.what}`, () => this.#request(url, ctx), ctx, this.#options.retry)
        return
      } catch (error) {
        const canRetry = isCloudimgError(error) && error.data.retryable === true && !ctx.signal.aborted
        if (!canRetry || this.#furthest <= reached || error.code !== 'NETWORK') throw error
      }
    }
  }

  async #reopen(ctx: Context): Promise<void> {
    if (this.#handle !== undefined) return
    const { path, size } = this.#partial
    this.#handle = await withFileErrors('writing', path, () => open(path, 'r+'))
    if (size === 0 || size > (this.#options.size ?? maxArtifactBytes)) return this.restart()
    for await (const chunk of readFileRange(path, 0, size)) {
      ctx.signal.throwIfAborted()
      this.#hash.update(chunk)
    }
    this.#size = size
    this.#furthest = size
  }

  async #request(url: URL, ctx: Context): Promise<void> {
    const range = this.#rangeHeaders(url)
    if (range === undefined && this.#size > 0) await this.restart()
    const response = await sendFollowing(
      { method: 'GET', url, headers: { 'accept-encoding': 'identity', ...range } },
      ctx,
    )
    if (range !== undefined && response.status === 206) {
      if (continues(response, this.#size)) return this.#append(response, url, this.#size)
      await drain(response)
      return this.#again(url, ctx)
    }
    if (range !== undefined && response.status === 416) {
      await drain(response)
      return totalOf(response) === this.#size ? this.#checkSize(url) : this.#again(url, ctx)
    }
    if (response.status !== 200) throw await refusal(response, url, this.#options.what)
    await this.restart()
    await this.#append(response, url, 0)
  }

  async #again(url: URL, ctx: Context): Promise<void> {
    await this.restart()
    await this.#request(url, ctx)
  }

  // If-Range where the same place named a validator; without one, only a digest known beforehand can tell that the rest fits.
  #rangeHeaders(url: URL): Record<string, string> | undefined {
    if (this.#size === 0) return undefined
    const range = `bytes=${this.#size}-`
    const validator = this.#origin?.url === redactUrl(url) ? this.#origin.validator : undefined
    if (validator !== undefined) return { range, 'if-range': validator }
    return this.#options.isVerified ? { range } : undefined
  }

  async #append(response: HttpResponse, url: URL, from: number): Promise<void> {
    const encoding = response.headers['content-encoding'] ?? 'identity'
    if (encoding !== 'identity') {
      response.body.destroy()
      throw unavailable(this.#options.what, url, `it answers in the encoding "${encoding}"`)
    }
    const length = response.headers['content-length']
    const total = length === undefined ? undefined : from + Number(length)
    const wanted = this.#options.size
    if (wanted !== undefined && total !== undefined && total !== wanted) {
      response.body.destroy()
      throw sizeMismatch(this.#where(url), wanted, total)
    }
    if (from === 0) await this.#rememberOrigin(response, url)
    else this.isResumed = true
    for await (const chunk of response.body as AsyncIterable<Buffer>) await this.#write(chunk, url, total ?? wanted)
    this.#checkSize(url)
  }

  async #rememberOrigin(response: HttpResponse, url: URL): Promise<void> {
    const { etag, 'last-modified': date } = response.headers
    const validator = etag !== undefined && !etag.startsWith('W/') ? etag : date
    this.#origin = { url: redactUrl(url), ...(validator === undefined ? {} : { validator }) }
    await this.#partial.remember(this.#origin)
  }

  async #write(chunk: Buffer, url: URL, total: number | undefined): Promise<void> {
    const bound = this.#options.size ?? maxArtifactBytes
    if (this.#size + chunk.length > bound) throw sizeMismatch(this.#where(url), bound, `more than ${bound}`)
    const handle = this.#handle
    if (handle === undefined) throw new CloudimgError('BUG', `writing "${this.#partial.path}": not open`)
    const writing = writeAll(handle, chunk, this.#size)
    this.#hash.update(chunk)
    await withFileErrors('writing', this.#partial.path, () => writing)
    this.#size += chunk.length
    this.#furthest = Math.max(this.#furthest, this.#size)
    this.#options.progress(this.#size, total)
  }

  #checkSize(url: URL): void {
    const wanted = this.#options.size
    if (wanted !== undefined && this.#size !== wanted) throw sizeMismatch(this.#where(url), wanted, this.#size)
  }

  #where(url: URL): string {
    return `${this.#options.what} from "${describeLocation(url)}"`
  }

  async #copy(url: URL, ctx: Context): Promise<void> {
    const path = localPath(url, this.#options.what)
    const stats = await withFileErrors('reading', path, () => statIfPresent(path))
    if (stats === undefined) throw unavailable(this.#options.what, url, 'no such file', { notFound: true })
    if (!stats.isFile()) throw unavailable(this.#options.what, url, 'not a file')
    if (this.#options.size !== undefined && stats.size !== this.#options.size) {
      throw sizeMismatch(this.#where(url), this.#options.size, stats.size)
    }
    await this.close()
    if (await reflink(path, this.#partial.path)) {
      await this.#rehash(stats.size, ctx)
      return
    }
    await this.restart()
    for await (const chunk of readFileRange(path)) {
      ctx.signal.throwIfAborted()
      await this.#write(chunk, url, stats.size)
    }
  }

  async #rehash(total: number, ctx: Context): Promise<void> {
    this.#hash = createHash('sha256')
    this.#size = 0
    for await (const chunk of readFileRange(this.#partial.path)) {
      ctx.signal.throwIfAborted()
      this.#hash.update(chunk)
      this.#size += chunk.length
      this.#options.progress(this.#size, total)
    }
  }
}

function localPath(url: URL, what: string): string {
  try {
    return fileURLToPath(url)
  } catch (error) {
    throw new CloudimgError('ARTIFACT_UNAVAILABLE', `fetching ${what} from "${url.href}": no path on this machine`, {
      cause: error,
      hint: 'write file:///absolute/path',
    })
  }
}

// Sharing blocks costs no copy; where the file system cannot, bytes are copied and hashed in one pass instead.
async function reflink(from: string, to: string): Promise<boolean> {
  await rm(to, { force: true })
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOSPC') throw fileError('writing', to, error)
    return false
  }
}

async function writeAll(handle: FileHandle, chunk: Buffer, position: number): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, position + done)
    done += bytesWritten
  }
}

// "bytes FROM-TO/TOTAL" that begins where the file ends and goes to the end of the whole (RFC 9110 §14.4).
function continues(response: HttpResponse, from: number): boolean {
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(response.headers['content-range'] ?? '') ?? []
  if (first === undefined || Number(first) !== from) return false
  return total === '*' || Number(last) === Number(total) - 1
}

function totalOf(response: HttpResponse): number | undefined {
  const [, total] = /^bytes \*\/(\d+)$/.exec(response.headers['content-range'] ?? '') ?? []
  return total === undefined ? undefined : Number(total)
}

async function refusal(response: HttpResponse, url: URL, what: string): Promise<CloudimgError> {
  const { status } = response
  const wait = retryAfterMs(response)
  await drain(response)
  return unavailable(what, url, `it answers ${status}`, {
    status,
    ...(status === 404 || status === 410 ? { notFound: true } : {}),
    ...(status >= 500 || status === 408 || status === 429 ? { retryable: true } : {}),
    ...(wait === undefined ? {} : { retryAfterMs: wait }),
  })
}

function unavailable(
  what: string,
  url: URL,
  why: string,
  data: Readonly<Record<string, string | number | boolean>> = {},
): CloudimgError {
  return new CloudimgError('ARTIFACT_UNAVAILABLE', `fetching ${what} from "${describeLocation(url)}": ${why}`, {
    data: { url: describeLocation(url), why, ...data },
  })
}
