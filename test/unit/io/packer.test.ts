import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { MiB } from '../../../src/core/bytes.ts'
import { compareBytes } from '../../../src/io/files.ts'
import { coalesce, Packer } from '../../../src/io/packer.ts'

async function* chunksOf(sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (const [at, size] of sizes.entries()) yield Buffer.alloc(size, at + 1)
}

it.each<[string, readonly number[], readonly number[]]>([
  ['nothing', [], []],
  ['small ones together', [1, 0, 2, 3], [6]],
  ['a full buffer before what does not fit', [MiB - 1, 2], [MiB - 1, 2]],
  ['a large one as it is', [3, 2 * MiB, 4], [3, 2 * MiB, 4]],
  ['exactly full', [MiB - 1, 1, 5], [MiB, 5]],
])('joins chunks: %s', async (_, sizes, pieces) => {
  const found = await Array.fromAsync(coalesce(chunksOf(sizes)))
  expect(found.map(({ length }) => length)).toEqual(pieces)
  expect(Buffer.concat(found).equals(Buffer.concat(await Array.fromAsync(chunksOf(sizes))))).toBe(true)
})

it('packs files behind what is there, and shows no more of them than asked for', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cloudimg-packer-'))
  try {
    writeFileSync(join(directory, 'a'), 'abc')
    const packer = new Packer()
    expect([...packer.add(Buffer.from('<'))]).toEqual([])
    expect(packer.addFile(join(directory, 'a'), 10).toString()).toBe('abc')
    expect(packer.addFile(join(directory, 'a'), 2).toString()).toBe('ab')
    expect([...packer.rest()].map(String)).toEqual(['<abcab'])
    expect([...packer.rest()]).toEqual([])
  } finally {
    rmSync(directory, { recursive: true })
  }
})

it('orders names as their bytes in UTF-8 are ordered', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', 'b', '/', 'é', '\u{ffff}', '\u{e000}', '\u{1f600}', '\u{10000}'),
  })
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)))
    }),
  )
})
