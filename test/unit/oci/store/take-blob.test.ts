import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CloudimgError } from '../../../../src/core/error.ts'
import type { BlobSource, ByteRange } from '../../../../src/oci/ends.ts'
import { blobPath } from '../../../../src/oci/store/layout.ts'
import { openStore, type Store } from '../../../../src/oci/store/store.ts'
import { noise } from '../../../support/noise.ts'
import { sample } from '../../../support/sample-image.ts'
import { testContext } from '../../../support/test-context.ts'

const blob = sample(noise('a blob', 3_000_000))
let home: string
let store: Store

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudimg-take-'))
  store = await openStore(home)
})
afterEach(async () => {
  await rm(home, { recursive: true })
})

/** A blob in a registry whose connection breaks after `most` bytes of each answer, and from where it was asked for. */
function remote(most: number, bytes = blob.bytes): { readonly source: BlobSource; readonly asked: number[] } {
  const asked: number[] = []
  const open = async (range?: ByteRange): Promise<Readable> => {
    const from = range?.offset ?? 0
    asked.push(from)
    return Readable.from(
      (async function* () {
        yield bytes.subarray(from, from + most)
        if (from + most < bytes.length) throw new CloudimgError('NETWORK', 'the connection was cut')
      })(),
      { objectMode: false },
    )
  }
  return { source: { open, from: { registry: 'r.example', repository: 'a' } }, asked }
}

const kept = async (): Promise<readonly Buffer[]> =>
  await Promise.all((await readdir(join(home, 'downloads'))).map(name => readFile(join(home, 'downloads', name))))

describe('a blob from a registry', () => {
  it('is taken up where an earlier run stopped', async () => {
    const first = remote(1_234_567)
    await expect(store.write(blob.descriptor, first.source, testContext())).rejects.toMatchObject({ code: 'NETWORK' })
    expect((await kept()).map(part => part.length)).toEqual([1_234_567])
    const second = remote(Number.POSITIVE_INFINITY)
    const seen: number[] = []
    const again = await openStore(home)
    expect(await again.write(blob.descriptor, second.source, testContext(), size => seen.push(size))).toBe('resumed')
    expect(second.asked).toEqual([1_234_567])
    expect(seen[0]).toBeGreaterThan(1_234_567)
    expect((await readFile(blobPath(store.layout, blob.descriptor.digest))).equals(blob.bytes)).toBe(true)
    expect(await kept()).toEqual([])
  })

  it('is asked for anew where what was left is wrong', async () => {
    const wrong = remote(1_000_000, Buffer.concat([noise('other', 1_000_000), blob.bytes.subarray(1_000_000)]))
    await expect(store.write(blob.descriptor, wrong.source, testContext())).rejects.toMatchObject({ code: 'NETWORK' })
    const right = remote(Number.POSITIVE_INFINITY)
    await store.write(blob.descriptor, right.source, testContext())
    expect(right.asked).toEqual([1_000_000, 0])
    expect(await store.has(blob.descriptor, testContext())).toBe(true)
  })

  it.each([
    ['other bytes', noise('other', 3_000_000), 'DIGEST_MISMATCH'],
    ['too many bytes', Buffer.concat([blob.bytes, Buffer.alloc(1)]), 'SIZE_MISMATCH'],
    ['too few bytes', blob.bytes.subarray(1), 'DIGEST_MISMATCH'],
  ])('of %s is refused, and nothing of it is kept', async (_what, bytes, code) => {
    const { source } = remote(Number.POSITIVE_INFINITY, bytes)
    await expect(store.write(blob.descriptor, source, testContext())).rejects.toMatchObject({ code })
    expect(await kept()).toEqual([])
    expect(await store.has(blob.descriptor, testContext())).toBe(false)
    expect(await readdir(join(home, 'tmp'))).toEqual([])
  })

  it('is left to the next run where the user breaks off', async () => {
    const ctx = testContext()
    const open = async (): Promise<Readable> => {
      const body = new Readable({ read: () => undefined })
      body.push(blob.bytes.subarray(0, 1_000_000))
      return body
    }
    const progress = (): void => ctx.abort()
    const from = { registry: 'r.example', repository: 'a' }
    await expect(store.write(blob.descriptor, { open, from }, ctx, progress)).rejects.toMatchObject({
      name: 'AbortError',
    })
    expect((await kept()).map(part => part.length)).toEqual([1_000_000])
  })
})
