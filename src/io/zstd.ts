import type { Writable } from 'node:stream'
import { createZstdDecompress, constants, zstdCompress } from 'node:zlib'
import { promisify } from 'node:util'
import { MiB } from '../core/bytes.ts'
import { CloudimgError, reasonOf } from '../core/error.ts'

const compressFrame = promisify(zstdCompress)

/** The content of each frame that we write: independent frames can be compressed in parallel (facts/oci.md §7.2). */
export const frameBytes = 4 * MiB

/** One complete frame. `ZSTD_c_nbWorkers` is broken in Node and never set. */
export async function zstdFrame(content: Uint8Array, level: number): Promise<Buffer> {
  return await compressFrame(content, {
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
      [constants.ZSTD_c_contentSizeFlag]: 1,
    },
  })
}

const magic = 0xfd2fb528
const skippableMagic = 0x184d2a50

/**
 * Decompresses any number of frames. Node before 26 stops after the first one, so the frames are walked here by their
 * headers (RFC 8878 §3.1) and each goes to a decoder of its own; skippable frames are passed over.
 * @throws ARCHIVE_INVALID for broken or truncated input.
 */
export async function* zstdDecode(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Buffer> {
  const input = new FrameInput(source, what)
  try {
    while (await input.fill(4, true)) {
      const word = input.peek(4).readUInt32LE(0)
      if ((word & 0xfffffff0) >>> 0 === skippableMagic) {
        await input.fill(8)
        const size = input.peek(8).readUInt32LE(4)
        await input.pass(8 + size)
      } else if (word === magic) yield* decodeFrame(input, what)
      else throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: not zstd data`)
    }
  } finally {
    await input.close()
  }
}

async function* decodeFrame(input: FrameInput, what: string): AsyncGenerator<Buffer> {
  const decoder = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 27 } })
  const feeding = (async () => {
    for await (const part of frameParts(input)) {
      if (!decoder.write(part)) await drained(decoder)
      if (decoder.destroyed) return
    }
    decoder.end()
  })()
  feeding.catch((error: unknown) => decoder.destroy(error as Error))
  try {
    for await (const chunk of decoder) yield chunk as Buffer
    await feeding
  } catch (error) {
    if (error instanceof CloudimgError) throw error
    throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: broken zstd data (${reasonOf(error)})`, {
      cause: error,
    })
  } finally {
    decoder.destroy()
  }
}

// Both listeners go when one has spoken: a long frame would pile them up.
async function drained(decoder: Writable): Promise<void> {
  await new Promise<void>(resolve => {
    const done = (): void => {
      decoder.off('drain', done).off('close', done)
      resolve()
    }
    decoder.on('drain', done).on('close', done)
  })
}

// The bytes of exactly one frame: header, blocks up to the one marked last, checksum.
async function* frameParts(input: FrameInput): AsyncGenerator<Buffer> {
  await input.fill(5)
  const descriptor = input.peek(5)[4]!
  const single = (descriptor >> 5) & 1
  const dictionary = [0, 1, 2, 4][descriptor & 3]!
  const contentSize = [single, 2, 4, 8][descriptor >> 6]!
  yield await input.take(5 + (single === 1 ? 0 : 1) + dictionary + contentSize)
  for (;;) {
    await input.fill(3)
    const header = input.peek(3).readUIntLE(0, 3)
    const type = (header >> 1) & 3
    yield await input.take(3 + (type === 1 ? 1 : header >> 3))
    if ((header & 1) === 1) break
  }
  if (((descriptor >> 2) & 1) === 1) yield await input.take(4)
}

class FrameInput {
  readonly #iterator: AsyncIterator<Uint8Array>
  readonly #what: string
  #buffer: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Uint8Array>, what: string) {
    this.#iterator = source[Symbol.asyncIterator]()
    this.#what = what
  }

  /** Makes `count` bytes available; false at a clean end where `mayEnd`. */
  async fill(count: number, mayEnd = false): Promise<boolean> {
    if (this.#buffer.length >= count) return true
    const parts = [this.#buffer]
    let size = this.#buffer.length
    while (size < count) {
      const next = await this.#iterator.next()
      if (next.done === true) {
        if (mayEnd && size === 0) return false
        throw new CloudimgError('ARCHIVE_INVALID', `reading ${this.#what}: the zstd data ends early`)
      }
      parts.push(Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength))
      size += next.value.length
    }
    this.#buffer = Buffer.concat(parts)
    return true
  }

  peek(count: number): Buffer {
    return this.#buffer.subarray(0, count)
  }

  async take(count: number): Promise<Buffer> {
    await this.fill(count)
    const part = this.#buffer.subarray(0, count)
    this.#buffer = this.#buffer.subarray(count)
    return part
  }

  async pass(count: number): Promise<void> {
    for (let left = count; left > 0;) {
      await this.fill(1)
      left -= (await this.take(Math.min(left, this.#buffer.length))).length
    }
  }

  /** Lets the source close what it has open, however far it was read. */
  async close(): Promise<void> {
    await this.#iterator.return?.()
  }
}
