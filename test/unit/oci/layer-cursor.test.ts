import { Readable } from 'node:stream'
import { zstdCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../src/core/digest.ts'
import { mediaTypes } from '../../../src/oci/descriptor.ts'
import { CompressedLayer } from '../../../src/oci/layer-cursor.ts'
import { testContext } from '../../support/test-context.ts'

const plain = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251))
const packed = zstdCompressSync(plain)
const layer = { mediaType: mediaTypes.layerZstd, digest: digestOf(packed), size: packed.length }

function counting(): { reader: CompressedLayer; opened: () => number } {
  let opened = 0
  const open = async (): Promise<Readable> => {
    opened++
    return Readable.from([packed])
  }
  return { reader: new CompressedLayer({ has: async () => true, open }, layer), opened: () => opened }
}

async function read(reader: CompressedLayer, offset: number, length: number): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of reader.read(offset, length, testContext())) parts.push(part)
  return Buffer.concat(parts)
}

describe('CompressedLayer', () => {
  it('unpacks once for parts that are read in order', async () => {
    const { reader, opened } = counting()
    for (let at = 0; at < 290_000; at += 10_000) {
      expect((await read(reader, at + 5, 100)).equals(plain.subarray(at + 5, at + 105))).toBe(true)
    }
    expect(opened()).toBe(1)
  })

  it('begins anew for a part that lies behind', async () => {
    const { reader, opened } = counting()
    await read(reader, 200_000, 10)
    expect((await read(reader, 7, 10)).equals(plain.subarray(7, 17))).toBe(true)
    expect(opened()).toBe(2)
    expect((await read(reader, 250_000, 10)).equals(plain.subarray(250_000, 250_010))).toBe(true)
    expect(opened()).toBe(2)
  })

  it('serves several readers side by side', async () => {
    const { reader } = counting()
    const offsets = [0, 50_000, 10, 299_000, 100_000]
    const parts = await Promise.all(offsets.map(offset => read(reader, offset, 1000)))
    expect(parts.map((part, index) => part.equals(plain.subarray(offsets[index], offsets[index]! + 1000)))).toEqual(
      offsets.map(() => true),
    )
  })
})
