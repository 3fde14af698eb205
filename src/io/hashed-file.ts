import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { type Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MiB } from '../core/bytes.ts'
import type { Digest } from '../core/digest.ts'
import { fileError } from './files.ts'
import { sizeMismatch } from './hash.ts'

export interface WriteHashed {
  /** Bytes of the file that stay and are hashed first; what lies behind them is overwritten. 0 unless told. */
  readonly kept?: number
  /** More bytes in all are refused at once. */
  readonly maxBytes?: number
  /** For messages: `blob sha256:…`. */
  readonly what: string
  readonly onProgress?: ((bytes: number) => void) | undefined
}

/**
 * Writes a stream into a file that is there and hashes it on its way: while the disk takes some bytes the next are hashed.
 * @throws SIZE_MISMATCH beyond `maxBytes`, FILE_ERROR, DISK_FULL, what the stream throws.
 */
export async function writeHashed(
  body: Readable,
  path: string,
  options: WriteHashed,
  signal: AbortSignal,
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const handle = await open(path, 'r+').catch((error: unknown) => {
    body.destroy()
    throw fileError('writing', path, error)
  })
  try {
    const hash = createHash('sha256')
    const { kept = 0 } = options
    await hashStart(hash, handle, kept, signal)
    await handle.truncate(kept)
    const sink = new HashedFile(handle, path, hash, options)
    await pipeline(body, sink, { signal })
    return { digest: `sha256:${hash.digest('hex')}`, size: sink.size }
  } finally {
    body.destroy()
    await handle.close()
  }
}

async function hashStart(hash: Hash, handle: FileHandle, length: number, signal: AbortSignal): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(MiB, length))
  for (let at = 0; at < length;) {
    signal.throwIfAborted()
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - at), at)
    if (bytesRead === 0) throw sizeMismatch('a partial file', length, at)
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
}

/** What gathered while the last write was under way goes into the next one: few calls, whatever the pieces' size. */
class HashedFile extends Writable {
  readonly #handle: FileHandle
  readonly #path: string
  readonly #hash: Hash
  readonly #options: WriteHashed
  size: number

  constructor(handle: FileHandle, path: string, hash: Hash, options: WriteHashed) {
    super({ highWaterMark: 4 * MiB })
    this.#handle = handle
    this.#path = path
    this.#hash = hash
    this.#options = options
    this.size = options.kept ?? 0
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    void this.#answer([chunk], done)
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    void this.#answer(
      chunks.map(({ chunk }) => chunk),
      done,
    )
  }

  async #answer(chunks: readonly Buffer[], done: (error?: Error | null) => void): Promise<void> {
    let failure: Error | null = null
    try {
      await this.#take(chunks)
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error))
    }
    done(failure)
  }

  async #take(chunks: readonly Buffer[]): Promise<void> {
    const at = this.size
    const { maxBytes = Number.POSITIVE_INFINITY, what, onProgress } = this.#options
    const end = chunks.reduce((sum, { length }) => sum + length, at)
    if (end > maxBytes) throw sizeMismatch(what, maxBytes, `more than ${maxBytes}`)
    const writing = this.#write(chunks, at, end)
    for (const chunk of chunks) this.#hash.update(chunk)
    await writing.catch((error: unknown) => {
      throw fileError('writing', this.#path, error)
    })
    this.size = end
    onProgress?.(end)
  }

  // A full disk may take a part of a write; the next try then says so.
  async #write(chunks: readonly Buffer[], start: number, end: number): Promise<void> {
    const { bytesWritten } = await this.#handle.writev(chunks, start)
    for (let at = start + bytesWritten; at < end;) {
      const rest = Buffer.concat(chunks).subarray(at - start)
      at += (await this.#handle.write(rest, 0, rest.length, at)).bytesWritten
    }
  }
}
