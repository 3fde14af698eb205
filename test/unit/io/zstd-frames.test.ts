import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { zstdCompress, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { zstdFrame } from '../../../src/io/zstd.ts'
import { listZstdFrames, unpackZstdFrames } from '../../../src/io/zstd-frames.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudimg-frames-'))
})
afterAll(() => rm(folder, { recursive: true }))

let serial = 0
async function fileOf(bytes: Buffer): Promise<{ file: string; offset: number; length: number }> {
  const file = join(folder, String(++serial))
  await writeFile(file, Buffer.concat([Buffer.alloc(7), bytes, Buffer.alloc(5)]))
  return { file, offset: 7, length: bytes.length }
}

const text = (size: number): Buffer => Buffer.alloc(size, 'some text that shrinks well. ')

describe('zstd frames', () => {
  it.each([0, 1, 255, 256, 300, 65_791, 65_792, 131_072, 1_000_000, 5_000_000])(
    'of %i bytes are found by their headers and unpacked',
    async size => {
      const contents = [text(size), randomBytes(Math.min(size, 400_000)), text(3)]
      const packed = await Promise.all(contents.map(content => zstdFrame(content, 3)))
      const extent = await fileOf(Buffer.concat(packed))
      const frames = (await listZstdFrames(extent))!
      expect(frames.map(frame => frame.packed)).toEqual(packed.map(frame => frame.length))
      const plain = Buffer.concat(await Array.fromAsync(unpackZstdFrames(extent.file, frames, 'x')))
      expect(plain.equals(Buffer.concat(contents))).toBe(true)
    },
  )

  it.each([
    [
      'a skippable frame',
      async () => Buffer.concat([Buffer.from('502a4d1802000000abcd', 'hex'), zstdCompressSync('x')]),
    ],
    ['a frame that ends early', async () => zstdCompressSync(randomBytes(1000)).subarray(0, 500)],
    ['more behind the last', async () => Buffer.concat([zstdCompressSync('x'), Buffer.from('more')])],
    ['something else', async () => Buffer.from('something else')],
    ['a frame too large for memory', async () => zstdCompressSync(Buffer.alloc(33 * 1024 * 1024))],
  ])('%s: left to the stream decoder', async (_what, make) => {
    expect(await listZstdFrames(await fileOf(await make()))).toBeUndefined()
  })

  it.each([[0], [1], [255], [256], [300], [65_791], [65_792], [1_000_000]])(
    'that say their size have %i bytes',
    async size => {
      const packed = await promisify(zstdCompress)(text(size), { pledgedSrcSize: size })
      expect(await listZstdFrames(await fileOf(packed))).toMatchObject([{ size }])
    },
  )

  it('a broken one is ARCHIVE_INVALID', async () => {
    const bytes = await zstdFrame(text(100_000), 3)
    bytes[bytes.length - 1]! ^= 1
    const extent = await fileOf(bytes)
    const frames = (await listZstdFrames(extent))!
    const unpacking = Array.fromAsync(unpackZstdFrames(extent.file, frames, 'x'))
    await expect(unpacking).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
  })
})
