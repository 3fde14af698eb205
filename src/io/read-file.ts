import { open } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { MiB } from '../core/bytes.ts'
import { CloudimgError } from '../core/error.ts'
import { fileError } from './files.ts'

/** What a part of a file is read in: large enough that a read costs little, small enough to keep many. */
export const readSize = MiB

/**
 * The bytes of a file from `offset` on, `length` of them or to its end, in reads of 1 MiB.
 * @throws SIZE_MISMATCH where the file ends before `length`; FILE_ERROR.
 */
export async function* readFileRange(
  path: string,
  offset = 0,
  length = Number.POSITIVE_INFINITY,
): AsyncGenerator<Buffer> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw fileError('reading', path, error)
  })
  try {
    for (let left = length, at = offset; left > 0;) {
      const buffer = Buffer.allocUnsafe(Math.min(readSize, left))
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
      if (bytesRead === 0) {
        if (length === Number.POSITIVE_INFINITY) return
        throw new CloudimgError('SIZE_MISMATCH', `reading "${path}": it ends ${left} bytes early`, { data: { path } })
      }
      left -= bytesRead
      at += bytesRead
      yield bytesRead === buffer.length ? buffer : buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

/** A byte stream over a generator, with a buffer no larger than one read. */
export function streamOf(source: AsyncIterable<Uint8Array>): Readable {
  return Readable.from(source, { objectMode: false, highWaterMark: readSize })
}
