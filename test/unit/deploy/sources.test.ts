import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import { digestOf } from '../../../src/core/digest.ts'
import { skip, Sources } from '../../../src/deploy/sources.ts'
import type { TreeEntry } from '../../../src/runtime/step.ts'
import { testContext } from '../../support/test-context.ts'

const text = 'hello\n'
const file = { type: 'file', path: 'a/b', mode: 0o644, size: text.length, digest: digestOf(text) } as const
const entries: readonly TreeEntry[] = [{ type: 'directory', path: 'a', mode: 0o755 }, file]

it('knows what a pack will be before it is sent, and reads it once', async () => {
  const ctx = testContext()
  let reads = 0
  const open = () => Promise.resolve((reads++, Readable.from([Buffer.from(text)])))
  const sources = new Sources([[{ ...file, open }]])
  const tar = await buffer(sources.tar(entries, ctx))
  expect(await sources.pack(entries, ctx)).toEqual({ size: tar.length, digest: digestOf(tar) })
  expect(await sources.pack(entries, ctx)).toMatchObject({ size: tar.length })
  expect(reads).toBe(2)
  const rest = Readable.from(skip(sources.tar(entries, ctx), 600), { objectMode: false })
  expect(await buffer(rest)).toEqual(tar.subarray(600))
})
