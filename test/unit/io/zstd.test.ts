import { zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { decompress } from '../../../src/io/compression.ts'
import { zstdDecode, zstdFrame } from '../../../src/io/zstd.ts'

async function* chunked(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function text(source: AsyncIterable<Buffer>): Promise<string> {
  const parts = []
  for await (const part of source) parts.push(part)
  return Buffer.concat(parts).toString()
}

const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0]), Buffer.from('abc')])

describe('zstdDecode', () => {
  it.each([1, 5, 1000, 1 << 20])('reads several frames and skippable ones, in chunks of %i', async size => {
    const frames = [
      await zstdFrame(Buffer.from('hello '), 3),
      skippable,
      zstdCompressSync('x'.repeat(300_000)),
      await zstdFrame(Buffer.alloc(0), 1),
      zstdCompressSync(' end'),
    ]
    expect(await text(zstdDecode(chunked(Buffer.concat(frames), size), 'test'))).toBe(
      `hello ${'x'.repeat(300_000)} end`,
    )
  })

  it.each([
    ['a cut frame', zstdCompressSync('hello').subarray(0, 10)],
    ['a cut second frame', Buffer.concat([zstdCompressSync('a'), zstdCompressSync('hello').subarray(0, 9)])],
    ['text', Buffer.from('no zstd here')],
    ['trailing garbage', Buffer.concat([zstdCompressSync('a'), Buffer.from('rubbish')])],
  ])('refuses %s', async (_, bytes) => {
    await expect(text(zstdDecode(chunked(bytes, 4), 'test'))).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
  })

  it('refuses a frame whose checksum is wrong', async () => {
    const frame = await zstdFrame(Buffer.from('hello hello hello'), 3)
    frame[frame.length - 1]! ^= 1
    await expect(text(zstdDecode(chunked(frame, 100), 'test'))).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
  })
})

describe('decompress', () => {
  it('says what it cannot read', async () => {
    await expect(text(decompress(chunked(Buffer.from('x'), 1), 'xz', 'a.tar.xz'))).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
  })
})
