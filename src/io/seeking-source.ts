import { type FileHandle, open } from 'node:fs/promises'
import { KiB } from '../core/bytes.ts'
import { fileError } from './files.ts'
import { cutPieces, type Extent } from './pieces.ts'
import type { SeekableBytes } from './tar.ts'

/** Headers are far between: little is read to see one. */
const readBytes = 32 * KiB

/** The bytes of stretches of files, of which what is passed over is never read. To be ended by `return`. */
export class SeekingSource implements SeekableBytes, AsyncIterator<Buffer, undefined> {
  readonly #extents: readonly Extent[]
  #at = 0
  #open: { readonly file: string; readonly handle: FileHandle } | undefined

  constructor(extents: readonly Extent[]) {
    this.#extents = extents
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer, undefined> {
    return this
  }

  seek(count: number): void {
    this.#at += count
  }

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    const [piece] = cutPieces(this.#extents, this.#at, readBytes) as Extent[]
    if (piece === undefined) return { done: true, value: undefined }
    const handle = await this.#handleOf(piece.file)
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(piece.length), 0, piece.length, piece.offset)
    if (bytesRead === 0) return { done: true, value: undefined }
    this.#at += bytesRead
    return { done: false, value: buffer.subarray(0, bytesRead) }
  }

  async return(): Promise<IteratorResult<Buffer, undefined>> {
    await this.#open?.handle.close()
    this.#open = undefined
    return { done: true, value: undefined }
  }

  async #handleOf(file: string): Promise<FileHandle> {
    if (this.#open?.file === file) return this.#open.handle
    await this.return()
    const handle = await open(file, 'r').catch((error: unknown) => {
      throw fileError('reading', file, error)
    })
    this.#open = { file, handle }
    return handle
  }
}
