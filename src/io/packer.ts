import { closeSync, openSync, readSync } from 'node:fs'
import { readSize } from './read-file.ts'

/**
 * Small pieces behind each other in a buffer of 1 MiB: one hash update and one write for thousands of them, and nothing of
 * each is left to the garbage collector.
 */
export class Packer {
  #buffer = Buffer.allocUnsafeSlow(readSize)
  #size = 0

  /**
   * Takes a file's first bytes, after `makeRoom` for them: for small files one synchronous read is far quicker than a way through
   * the thread pool. The part of the buffer that they are in, shorter where the file is.
   */
  addFile(path: string, atMost: number): Buffer {
    const start = this.#size
    const file = openSync(path, 'r')
    try {
      for (let read = 1; read > 0 && this.#size < start + atMost; this.#size += read)
        read = readSync(file, this.#buffer, this.#size, start + atMost - this.#size, null)
      return this.#buffer.subarray(start, this.#size)
    } finally {
      closeSync(file)
    }
  }

  /** Takes a piece; what has to leave for it, or is large enough by itself, comes out. */
  *add(piece: Uint8Array): Generator<Buffer> {
    yield* this.makeRoom(piece.length)
    if (piece.length >= readSize) return yield Buffer.from(piece.buffer, piece.byteOffset, piece.length)
    this.#buffer.set(piece, this.#size)
    this.#size += piece.length
  }

  *makeRoom(bytes: number): Generator<Buffer> {
    if (this.#size + bytes > this.#buffer.length) yield* this.rest()
  }

  /** What was added and has not come out. */
  *rest(): Generator<Buffer> {
    if (this.#size === 0) return
    const taken = this.#buffer.subarray(0, this.#size)
    this.#buffer = Buffer.allocUnsafeSlow(readSize)
    this.#size = 0
    yield taken
  }
}

/** Small chunks joined to pieces of about 1 MiB. */
export async function* coalesce(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const packer = new Packer()
  for await (const chunk of source) yield* packer.add(chunk)
  yield* packer.rest()
}
