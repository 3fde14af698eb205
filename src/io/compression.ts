import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { CloudimgError, reasonOf } from '../core/error.ts'
import { zstdDecode } from './zstd.ts'

export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'lz4'

/** By the first bytes; 'none' for anything unknown. 6 bytes suffice. */
export function sniffCompression(head: Uint8Array): Compression {
  const starts = (...bytes: number[]): boolean => bytes.every((byte, index) => head[index] === byte)
  if (starts(0x1f, 0x8b)) return 'gzip'
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd'
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return 'xz'
  if (starts(0x42, 0x5a, 0x68)) return 'bzip2'
  if (starts(0x04, 0x22, 0x4d, 0x18)) return 'lz4'
  return 'none'
}

/** @throws UNSUPPORTED for what Node has no decoder for; ARCHIVE_INVALID for broken data. */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  compression: Compression,
  what: string,
): AsyncGenerator<Buffer> {
  switch (compression) {
    case 'none':
      for await (const chunk of source) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      return
    case 'zstd':
      yield* zstdDecode(source, what)
      return
    case 'gzip':
      yield* gunzip(source, what)
      return
    case 'xz':
    case 'bzip2':
    case 'lz4':
      throw new CloudimgError('UNSUPPORTED', `reading ${what}: ${compression} is not supported`, {
        hint: 'recompress it with zstd or gzip',
      })
  }
}

async function* gunzip(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Buffer> {
  const input = Readable.from(source, { objectMode: false })
  const decoder = createGunzip({ chunkSize: 256 * 1024 })
  input.once('error', error => decoder.destroy(error))
  try {
    for await (const chunk of input.pipe(decoder)) yield chunk as Buffer
  } catch (error) {
    if (error instanceof CloudimgError) throw error
    throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: broken gzip data (${reasonOf(error)})`, {
      cause: error,
    })
  } finally {
    input.destroy()
    decoder.destroy()
  }
}

/** The compression of a stream, and the stream again from its first byte. */
export async function detectCompression(
  source: AsyncIterable<Uint8Array>,
): Promise<{ readonly compression: Compression; readonly body: AsyncIterable<Uint8Array> }> {
  const iterator = source[Symbol.asyncIterator]()
  const head: Uint8Array[] = []
  let size = 0
  let ended = false
  while (size < 6 && !ended) {
    const next = await iterator.next()
    if (next.done === true) ended = true
    else {
      head.push(next.value)
      size += next.value.length
    }
  }
  const body = async function* (): AsyncGenerator<Uint8Array> {
    yield* head
    if (!ended) yield* { [Symbol.asyncIterator]: () => iterator }
  }
  return { compression: sniffCompression(Buffer.concat(head)), body: body() }
}
