import { randomBytes } from 'node:crypto'
import { appendFile, copyFile, mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../../src/core/digest.ts'
import { type Piece, readPieces } from '../../../src/io/pieces.ts'
import type { Descriptor } from '../../../src/oci/descriptor.ts'
import { blobPath, recipePath } from '../../../src/oci/store/layout.ts'
import { isSealed } from '../../../src/oci/store/seal.ts'
import { openStore, type Store } from '../../../src/oci/store/store.ts'
import { testContext } from '../../support/test-context.ts'

const ctx = testContext()
let home: string
let store: Store

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudimg-seal-'))
  store = await openStore(home)
})
afterEach(() => rm(home, { recursive: true }))

const sealed = async (path: string, digest: Digest): Promise<boolean> =>
  isSealed(await stat(path, { bigint: true }), digest)

async function ingested(bytes: Buffer): Promise<{ readonly blob: Descriptor; readonly path: string }> {
  const blob = await store.ingest(Readable.from([bytes]), 'application/octet-stream', ctx)
  return { blob, path: blobPath(store.layout, blob.digest) }
}

async function content(blob: Descriptor): Promise<Buffer> {
  const pieces: readonly Piece[] = await store.pieces!(blob, ctx)
  return Buffer.concat(await Array.fromAsync(readPieces(pieces)))
}

describe('a blob', () => {
  it('is sealed when it is written, at the time at which it was', async () => {
    const before = Math.floor(Date.now() / 1000)
    const { blob, path } = await ingested(randomBytes(1000))
    expect(await sealed(path, blob.digest)).toBe(true)
    const { mtimeMs } = await stat(path)
    expect(mtimeMs / 1000).toBeGreaterThanOrEqual(before)
    expect(mtimeMs / 1000).toBeLessThan(Date.now() / 1000 + 1)
  })

  it('is not hashed again: what only the disk knows goes unseen', async () => {
    const { blob, path } = await ingested(Buffer.from('hello'))
    const { atime, mtimeNs } = await stat(path, { bigint: true })
    await writeFile(path, 'HELLO')
    await utimes(path, atime, Number(mtimeNs / 1000n) / 1e6 + 5e-7)
    expect((await content(blob)).toString()).toBe('HELLO')
  })

  it.each([
    ['written to', async (path: string) => await writeFile(path, 'HELLO')],
    [
      'replaced',
      async (path: string) => {
        await writeFile(`${path}.new`, 'HELLO')
        await rm(path)
        await copyFile(`${path}.new`, path)
      },
    ],
  ])('is hashed once it was %s', async (_what, change) => {
    const { blob, path } = await ingested(Buffer.from('hello'))
    await change(path)
    await expect(content(blob)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(await sealed(path, blob.digest)).toBe(false)
  })

  it('is sealed again by a reading that finds it right', async () => {
    const { blob, path } = await ingested(Buffer.from('hello'))
    await writeFile(path, 'hello')
    expect(await sealed(path, blob.digest)).toBe(false)
    expect((await content(blob)).toString()).toBe('hello')
    expect(await sealed(path, blob.digest)).toBe(true)
  })

  it('of another inode with the same times is not sealed', async () => {
    const { blob, path } = await ingested(Buffer.from('hello'))
    const { atime, mtimeNs } = await stat(path, { bigint: true })
    await copyFile(path, `${path}.copy`)
    await utimes(`${path}.copy`, atime, Number(mtimeNs / 1000n) / 1e6 + 5e-7)
    expect(await sealed(`${path}.copy`, blob.digest)).toBe(false)
  })
})

describe('a layer that is put together', () => {
  const parts = [randomBytes(512), randomBytes(2_500_000), randomBytes(1024)] as const
  const whole = Buffer.concat(parts)
  const layer = { mediaType: 'x', digest: digestOf(whole), size: whole.length }

  beforeEach(async () => {
    const { blob } = await ingested(parts[1])
    const segments = [{ inline: parts[0] }, { blob: blob.digest, offset: 0, length: blob.size }, { inline: parts[2] }]
    await store.putRecipe(layer.digest, { size: layer.size, segments })
  })

  it('gives its pieces', async () => {
    expect(await sealed(recipePath(store.layout, layer.digest), layer.digest)).toBe(true)
    expect((await content(layer)).equals(whole)).toBe(true)
  })

  it('is hashed where the recipe was written to', async () => {
    const path = recipePath(store.layout, layer.digest)
    await appendFile(path, ' ')
    expect((await content(layer)).equals(whole)).toBe(true)
    expect(await sealed(path, layer.digest)).toBe(true)
  })

  it('is refused where a part was written to', async () => {
    await writeFile(blobPath(store.layout, digestOf(parts[1])), randomBytes(2_500_000))
    await expect(content(layer)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })
})
