import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { tarBytes } from '../../../src/build/layers/make-layer.ts'
import type { TreeFile } from '../../../src/build/tree.ts'
import { type Digest, digestOf } from '../../../src/core/digest.ts'
import { openStore } from '../../../src/oci/store/store.ts'
import { testContext } from '../../support/test-context.ts'

let home: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudimg-digests-'))
})
afterAll(() => rm(home, { recursive: true, force: true }))

const file = (path: string, text: string, links?: string): TreeFile => ({
  type: 'file',
  path,
  mode: 0o755,
  uid: 0,
  gid: 0,
  size: text.length,
  content: { from: 'memory', bytes: Buffer.from(text) },
  ...(links === undefined ? {} : { links }),
})

it('digests of the files that are asked for are told, by each name of a hard link', async () => {
  const entries = [file('bin/a', 'a'), file('lib/k', 'k', 'group'), file('scripts/k', 'k', 'group'), file('var/b', 'b')]
  const files: Record<string, Digest> = {}
  const wantsDigest = (path: string): boolean => /^(?:bin|scripts)\//.test(path)
  const options = { epoch: 0, compression: 'none', wantsDigest } as const
  const tar = tarBytes(await openStore(home), { entries, createdBy: 'test' }, options, files, testContext())
  await Array.fromAsync(tar)
  expect(files).toEqual({ 'bin/a': digestOf('a'), 'scripts/k': digestOf('k') })
})

it.each([
  ['small', 10],
  ['large', 300_000],
])('a %s file that is not as long as it was when it was listed stops the layer', async (_, size) => {
  const path = join(home, 'listed')
  const entry = {
    ...file('a', 'x'.repeat(size)),
    content: { from: 'context', path, identity: '', racy: false },
  } as const
  const options = { epoch: 0, compression: 'none', wantsDigest: () => true } as const
  const store = await openStore(home)
  const read = async (length: number): Promise<Record<string, Digest>> => {
    await writeFile(path, 'x'.repeat(length))
    const files: Record<string, Digest> = {}
    await Array.fromAsync(tarBytes(store, { entries: [entry], createdBy: 'test' }, options, files, testContext()))
    return files
  }
  expect(await read(size)).toEqual({ a: digestOf('x'.repeat(size)) })
  await expect(read(size - 1)).rejects.toThrow('it changed while it was read')
  await expect(read(size + 1)).rejects.toThrow('it changed while it was read')
})
