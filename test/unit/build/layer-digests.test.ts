import { mkdtemp, rm } from 'node:fs/promises'
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
