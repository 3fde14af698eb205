import { createHash, type Hash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { type Readable, Transform, type TransformCallback } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MiB } from '../core/bytes.ts'
import type { Digest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { withFileErrors } from './files.ts'

/** Passes bytes through, counting and hashing them; `digest()` once the stream has ended. */
export class HashingStream extends Transform {
  readonly #hash: Hash = createHash('sha256')
  #size = 0
  readonly #onProgress: ((size: number) => void) | undefined

  constructor(onProgress?: (size: number) => void) {
    super({ highWaterMark: MiB })
    this.#onProgress = onProgress
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#hash.update(chunk)
    this.#size += chunk.length
    this.#onProgress?.(this.#size)
    done(null, chunk)
  }

  get size(): number {
    return this.#size
  }

  digest(): Digest {
    return `sha256:${this.#hash.digest('hex')}`
  }
}

export interface Expected {
  readonly digest?: Digest | undefined
  readonly size?: number | undefined
}

/**
 * A stream with the bytes of `body` that fails, at the latest at its end, unless they are what was expected.
 * A surplus byte fails at once. Nothing is trusted after it was written: it is trusted because it was read.
 */
export function verifying(
  body: Readable,
  expected: Expected,
  what: string,
  onProgress?: (size: number) => void,
): Readable {
  const check = new VerifyingStream(expected, what, onProgress)
  pipeline(body, check).catch((error: unknown) =>
    check.destroy(error instanceof Error ? error : new Error(String(error))),
  )
  return check
}

class VerifyingStream extends HashingStream {
  readonly #expected: Expected
  readonly #what: string

  constructor(expected: Expected, what: string, onProgress?: (size: number) => void) {
    super(onProgress)
    this.#expected = expected
    this.#what = what
  }

  override _transform(chunk: Buffer, encoding: BufferEncoding, done: TransformCallback): void {
    const { size } = this.#expected
    if (size !== undefined && this.size + chunk.length > size) {
      done(sizeMismatch(this.#what, size, `more than ${size}`))
      return
    }
    super._transform(chunk, encoding, done)
  }

  override _flush(done: TransformCallback): void {
    const { size, digest } = this.#expected
    if (size !== undefined && this.size !== size) return done(sizeMismatch(this.#what, size, this.size))
    const found = this.digest()
    if (digest !== undefined && digest !== found) return done(digestMismatch(this.#what, digest, found))
    done()
  }
}

export function digestMismatch(what: string, wanted: Digest, found: Digest): CloudimgError {
  return new CloudimgError('DIGEST_MISMATCH', `reading ${what}: wanted ${wanted}, found ${found}`, {
    data: { wanted, found },
  })
}

export function sizeMismatch(what: string, wanted: number, found: number | string): CloudimgError {
  return new CloudimgError('SIZE_MISMATCH', `reading ${what}: wanted ${wanted} bytes, found ${found}`, {
    data: { wanted, found },
  })
}

/** One pass in large reads, no streams: the fastest way in Node (facts/oci.md §7.2). */
export async function hashFile(
  path: string,
  signal?: AbortSignal,
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const hash = createHash('sha256')
  const size = await hashFileInto(hash, path, () => signal?.throwIfAborted())
  return { digest: `sha256:${hash.digest('hex')}`, size }
}

/**
 * Adds a whole file to a hash, and returns its size; `onRead` hears of each part, and stops it by throwing. Two buffers take
 * turns: the next part is read while this one is hashed, and nothing is left to the garbage collector, which costs as much
 * as hashing where every read has a buffer of its own.
 */
export async function hashFileInto(hash: Hash, path: string, onRead: (bytes: number) => void): Promise<number> {
  return withFileErrors('reading', path, async () => {
    const handle = await open(path, 'r')
    try {
      let [buffer, spare] = [Buffer.allocUnsafe(MiB), Buffer.allocUnsafe(MiB)]
      let size = 0
      let reading = handle.read(buffer, 0, MiB, 0)
      for (;;) {
        const { bytesRead } = await reading
        if (bytesRead === 0) return size
        onRead(bytesRead)
        size += bytesRead
        ;[buffer, spare] = [spare, buffer]
        reading = handle.read(buffer, 0, MiB, size)
        hash.update(spare.subarray(0, bytesRead))
      }
    } finally {
      await handle.close()
    }
  })
}
