import { type FileHandle, open } from 'node:fs/promises'
import { CloudimgError } from '../core/error.ts'
import { fileError } from './files.ts'
import { readFileRange, readSize } from './read-file.ts'

/** A stretch of a file on disk. */
export interface Extent {
  readonly file: string
  readonly offset: number
  readonly length: number
}

/** A run of bytes: in memory, or where it lies on disk. */
export type Piece = Buffer | Extent

/** The pieces, cut, that give just those bytes. */
export function cutPieces(pieces: readonly Piece[], offset: number, length: number): Piece[] {
  const cut: Piece[] = []
  let at = 0
  for (const piece of pieces) {
    const from = Math.max(0, offset - at)
    const to = Math.min(piece.length, offset + length - at)
    if (from < to) cut.push(cutPiece(piece, from, to))
    at += piece.length
  }
  return cut
}

function cutPiece(piece: Piece, from: number, to: number): Piece {
  if (Buffer.isBuffer(piece)) return piece.subarray(from, to)
  return { file: piece.file, offset: piece.offset + from, length: to - from }
}

/** In order. @throws SIZE_MISMATCH where a file is shorter than its piece; FILE_ERROR. */
export async function* readPieces(pieces: readonly Piece[]): AsyncGenerator<Buffer> {
  for (const piece of pieces) {
    if (Buffer.isBuffer(piece)) yield piece
    else yield* readFileRange(piece.file, piece.offset, piece.length)
  }
}

export interface WritePieces {
  readonly onBytes: (count: number) => void
  readonly signal: AbortSignal
}

/** Reads and writes under way at once: enough that the disk, the copying and this program do not wait for each other. */
const underWay = 3

/**
 * Copies pieces to one place of an open file by positioned reads and writes, with buffers that take turns: no streams, and
 * nothing for the garbage collector. @throws SIZE_MISMATCH where a file is shorter than its piece; FILE_ERROR, DISK_FULL.
 */
export async function writePieces(
  pieces: readonly Piece[],
  to: FileHandle,
  position: number,
  { onBytes, signal }: WritePieces,
): Promise<void> {
  const files = new OpenFiles()
  const steps = stepsOf(pieces, position)
  let failed = false
  const worker = async (): Promise<void> => {
    let buffer: Buffer | undefined
    for (const { piece, at } of steps) {
      if (failed) return
      try {
        signal.throwIfAborted()
        if (Buffer.isBuffer(piece)) await writeAt(to, piece, at)
        else {
          const into = (buffer ??= Buffer.allocUnsafe(readSize))
          await writeAt(to, await files.use(piece.file, from => fill(into, from, piece)), at)
        }
      } catch (error) {
        failed = true
        throw error
      }
      onBytes(piece.length)
    }
  }
  try {
    const ended = await Promise.allSettled(Array.from({ length: underWay }, worker))
    const failure = ended.find(result => result.status === 'rejected')
    if (failure !== undefined) throw failure.reason
  } finally {
    await files.close()
  }
}

/** An image may have thousands of small blobs, a process some thousand open files. */
const mostOpen = 32

/** Files that are read piece by piece: open as long as others are not needed more. */
class OpenFiles {
  readonly #open = new Map<string, { readonly handle: Promise<FileHandle>; users: number }>()

  async use<T>(file: string, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    const entry = this.#open.get(file) ?? { handle: open(file, 'r'), users: 0 }
    this.#open.delete(file)
    this.#open.set(file, entry)
    entry.users++
    try {
      const handle = await entry.handle.catch((error: unknown) => {
        throw fileError('reading', file, error)
      })
      return await work(handle)
    } finally {
      entry.users--
      await this.#shrink()
    }
  }

  async #shrink(): Promise<void> {
    for (const [file, { handle, users }] of this.#open) {
      if (this.#open.size <= mostOpen) return
      if (users > 0) continue
      this.#open.delete(file)
      await handle.then(found => found.close()).catch(() => undefined)
    }
  }

  async close(): Promise<void> {
    for (const { handle } of this.#open.values()) await handle.then(found => found.close()).catch(() => undefined)
    this.#open.clear()
  }
}

function* stepsOf(
  pieces: readonly Piece[],
  position: number,
): Generator<{ readonly piece: Piece; readonly at: number }> {
  let at = position
  for (const piece of pieces) {
    for (let from = 0; from < piece.length; from += readSize) {
      const to = Math.min(piece.length, from + readSize)
      yield { piece: cutPiece(piece, from, to), at: at + from }
    }
    at += piece.length
  }
}

async function fill(buffer: Buffer, from: FileHandle, { file, offset, length }: Extent): Promise<Buffer> {
  for (let at = 0; at < length;) {
    const { bytesRead } = await from.read(buffer, at, length - at, offset + at)
    if (bytesRead === 0)
      throw new CloudimgError('SIZE_MISMATCH', `reading "${file}": it ends ${length - at} bytes early`, {
        data: { path: file },
      })
    at += bytesRead
  }
  return buffer.subarray(0, length)
}

/** All of the bytes: a disk that is nearly full may take a part, and says so at the next try. */
export async function writeAt(to: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await to.write(bytes, at, bytes.length - at, position + at)).bytesWritten
}
