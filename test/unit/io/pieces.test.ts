import { randomBytes } from 'node:crypto'
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cutPieces, type Piece, readPieces, writePieces } from '../../../src/io/pieces.ts'
import { SeekingSource } from '../../../src/io/seeking-source.ts'

let folder: string
const blob = randomBytes(3_500_000)
const signal = new AbortController().signal

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudimg-pieces-'))
  await writeFile(join(folder, 'blob'), blob)
})
afterAll(() => rm(folder, { recursive: true }))

const extent = (offset: number, length: number): Piece => ({ file: join(folder, 'blob'), offset, length })

async function written(pieces: readonly Piece[], position = 0): Promise<Buffer> {
  const path = join(folder, 'out')
  const handle = await open(path, 'w')
  try {
    await writePieces(pieces, handle, position, { onBytes: () => {}, signal })
  } finally {
    await handle.close()
  }
  return (await readFile(path)).subarray(position)
}

describe('pieces', () => {
  const pieces = (): readonly Piece[] => [
    Buffer.from('head'),
    extent(1, 2_500_000),
    Buffer.alloc(0),
    Buffer.from('middle'),
    extent(3_000_000, 500_000),
    Buffer.from('tail'),
  ]
  const whole = Buffer.concat([
    Buffer.from('head'),
    blob.subarray(1, 2_500_001),
    Buffer.from('middle'),
    blob.subarray(3_000_000),
    Buffer.from('tail'),
  ])

  it('are read in order', async () => {
    expect(Buffer.concat(await Array.fromAsync(readPieces(pieces()))).equals(whole)).toBe(true)
  })

  it.each([[0], [513]])('are written to place %i', async position => {
    expect((await written(pieces(), position)).equals(whole)).toBe(true)
  })

  it.each([
    [0, 4],
    [2, 10],
    [2_499_990, 40],
    [0, whole.length],
    [whole.length - 2, 2],
    [whole.length, 5],
  ])('are cut: %i, %i', async (offset, length) => {
    const cut = cutPieces(pieces(), offset, length)
    expect(Buffer.concat(await Array.fromAsync(readPieces(cut))).equals(whole.subarray(offset, offset + length))).toBe(
      true,
    )
  })

  it('of more files than may be open at once', async () => {
    const names = Array.from({ length: 300 }, (_, i) => join(folder, `small-${i}`))
    for (const [i, name] of names.entries()) await writeFile(name, String(i).padStart(4, '0'))
    const before = (await readdir('/proc/self/fd')).length
    const out = await written(names.map(file => ({ file, offset: 0, length: 4 })))
    expect(out.toString()).toBe(names.map((_, i) => String(i).padStart(4, '0')).join(''))
    expect((await readdir('/proc/self/fd')).length).toBeLessThan(before + 20)
  })

  it.each([
    ['a file that is too short', () => extent(3_000_000, 600_000), 'SIZE_MISMATCH'],
    ['a file that is not there', () => ({ file: join(folder, 'none'), offset: 0, length: 1 }), 'FILE_ERROR'],
  ])('with %s fail', async (_what, piece, code) => {
    await expect(written([piece()])).rejects.toMatchObject({ code })
  })

  it('stop when they are told to', async () => {
    const handle = await open(join(folder, 'stopped'), 'w')
    const writing = writePieces(pieces(), handle, 0, {
      onBytes: () => {},
      signal: AbortSignal.abort(new Error('stop')),
    })
    await expect(writing).rejects.toThrow('stop')
    await handle.close()
  })
})

describe('a source that can be passed over', () => {
  it('goes on behind what was passed over, from file to file, and ends at the end', async () => {
    const extents = [
      { file: join(folder, 'blob'), offset: 10, length: 100 },
      { file: join(folder, 'blob'), offset: 1000, length: 40_000 },
    ]
    const all = Buffer.concat([blob.subarray(10, 110), blob.subarray(1000, 41_000)])
    const source = new SeekingSource(extents)
    const [first] = [await source.next()]
    expect(first.value?.equals(all.subarray(0, 100))).toBe(true)
    source.seek(500)
    const second = await source.next()
    expect(second.value?.equals(all.subarray(600, 600 + (second.value?.length ?? 0)))).toBe(true)
    source.seek(50_000)
    expect((await source.next()).done).toBe(true)
    await source.return()
  })
})
