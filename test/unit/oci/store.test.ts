import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { digestOf } from '../../../src/core/digest.ts'
import { blobPath } from '../../../src/oci/store/layout.ts'
import { openStore, type Store } from '../../../src/oci/store/store.ts'

const ctx = { signal: new AbortController().signal, events: () => {} }
const type = 'application/octet-stream'
let home: string
let store: Store

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudimg-store-'))
  store = await openStore(home)
})
afterEach(() => rm(home, { recursive: true }))

describe('blobs', () => {
  it('takes a stream whose digest is not known before', async () => {
    const bytes = randomBytes(3_000_000)
    const blob = await store.ingest(Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]), type, ctx)
    expect(blob).toEqual({ mediaType: type, digest: digestOf(bytes), size: bytes.length })
    expect((await buffer(await store.open(blob, ctx))).equals(bytes)).toBe(true)
  })

  it.each([
    ['another digest', { digest: digestOf('else'), size: 5 }, 'DIGEST_MISMATCH'],
    ['too many bytes', { digest: digestOf('hello'), size: 4 }, 'SIZE_MISMATCH'],
    ['too few bytes', { digest: digestOf('hello'), size: 6 }, 'SIZE_MISMATCH'],
  ])('keeps nothing of a stream with %s', async (_, expected, code) => {
    await expect(store.ingest(Readable.from([Buffer.from('hello')]), type, ctx, expected)).rejects.toMatchObject({
      code,
    })
    expect(await readdir(store.layout.blobs)).toEqual([])
    expect(await readdir(store.layout.temporary)).toEqual([])
  })

  it('keeps nothing of a stream that breaks', async () => {
    const broken = Readable.from(
      (async function* () {
        yield Buffer.from('hel')
        throw new Error('cut')
      })(),
    )
    await expect(store.ingest(broken, type, ctx)).rejects.toThrow('cut')
    expect(await readdir(store.layout.temporary)).toEqual([])
  })

  it('does not read the source of a blob that is there', async () => {
    const blob = await store.put(Buffer.from('hello'), type)
    const source = { open: () => Promise.reject(new Error('must not be opened')) }
    expect(await store.write(blob, source, ctx)).toBe('present')
  })

  it('finds out while reading that a blob was changed on disk', async () => {
    const blob = await store.put(Buffer.from('hello'), type)
    await writeFile(blobPath(store.layout, blob.digest), 'HELLO')
    await expect(buffer(await store.open(blob, ctx))).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  it('takes a blob of the wrong size for absent, and writes it again', async () => {
    const blob = await store.put(Buffer.from('hello'), type)
    await writeFile(blobPath(store.layout, blob.digest), 'hel')
    expect(await store.has(blob, ctx)).toBe(false)
    await store.put(Buffer.from('hello'), type)
    expect(await store.has(blob, ctx)).toBe(true)
  })
})

describe('recipes', () => {
  const parts = [Buffer.from('head'), randomBytes(2_500_000), Buffer.from('tail')]
  const whole = Buffer.concat(parts)
  const layer = { mediaType: type, digest: digestOf(whole), size: whole.length }

  const putRecipe = async (): Promise<string> => {
    const blob = await store.put(parts[1]!, type)
    await store.putRecipe(layer.digest, {
      size: layer.size,
      segments: [{ inline: parts[0]! }, { blob: blob.digest, offset: 0, length: blob.size }, { inline: parts[2]! }],
    })
    return blobPath(store.layout, blob.digest)
  }

  it('are read as the bytes they stand for', async () => {
    await putRecipe()
    expect(await store.has(layer, ctx)).toBe(true)
    expect((await buffer(await store.open(layer, ctx))).equals(whole)).toBe(true)
  })

  it.each([
    [0, 4],
    [2, 10],
    [4, 2_500_000],
    [1_000_000, 1_500_010],
    [2_500_003, 4],
    [0, undefined],
    [2_500_007, undefined],
  ])('give any range: %i, %s', async (offset, length) => {
    await putRecipe()
    const range = length === undefined ? { offset } : { offset, length }
    const wanted = whole.subarray(offset, length === undefined ? undefined : offset + length)
    expect((await buffer(await store.open(layer, ctx, range))).equals(wanted)).toBe(true)
  })

  it('are absent when a blob of theirs is', async () => {
    await rm(await putRecipe())
    expect(await store.has(layer, ctx)).toBe(false)
  })
})

describe('names', () => {
  it('are set, listed in order, resolved by tag and digest, and removed', async () => {
    const target = await store.put(Buffer.from('{}'), type)
    for (const name of ['reg.local:5000/b/c:v1', 'a', 'reg.local:5000/b:v1']) await store.tag(name, target, ctx)
    expect((await store.refs()).map(ref => ref.name)).toEqual([
      'docker.io/library/a:latest',
      'reg.local:5000/b/c:v1',
      'reg.local:5000/b:v1',
    ])
    expect(await store.resolve('a', ctx)).toEqual(target)
    expect(await store.resolve(`a@${target.digest}`, ctx)).toEqual(target)
    expect(await store.resolve(`a:latest@${digestOf('other')}`, ctx)).toBeUndefined()
    expect(await store.untag({ registry: 'docker.io', repository: 'library/a', tag: 'latest' })).toBe(true)
    expect(await store.resolve('a', ctx)).toBeUndefined()
  })
})
