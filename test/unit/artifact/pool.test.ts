import { readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { directoryPool, type DownloadPool } from '../../../src/artifact/pool.ts'
import type { Digest } from '../../../src/core/digest.ts'
import { ownIdentity } from '../../../src/io/process-identity.ts'
import { sha256, Workbench } from './release-fixture.ts'

let bench: Workbench
let pool: DownloadPool

beforeEach(async () => {
  bench = await Workbench.open()
  pool = directoryPool(bench.home)
})
afterEach(async () => {
  await bench.dispose()
})

const digest: Digest = `sha256:${sha256('content')}`

describe('a download', () => {
  it('becomes a blob by one rename', async () => {
    const partial = await pool.openPartial('key')
    await writeFile(partial.path, 'content', { mode: 0o600 })
    expect(await pool.has(digest)).toBeUndefined()
    await partial.commit(digest)
    expect(await pool.has(digest)).toBe(7)
    expect(await readFile(pool.path(digest), 'utf8')).toBe('content')
    expect((await stat(pool.path(digest))).mode & 0o777).toBe(0o644)
    expect(await bench.downloads()).toEqual([])
  })

  it('that was kept is handed on with what it is a part of', async () => {
    const first = await pool.openPartial('key')
    await writeFile(first.path, 'cont')
    await first.remember({ url: 'https://x/y', validator: '"v"' })
    await first.keep()
    const second = await pool.openPartial('key')
    expect(second).toMatchObject({ size: 4, origin: { url: 'https://x/y', validator: '"v"' } })
    await second.discard()
    expect(await bench.downloads()).toEqual([])
    expect(await pool.openPartial('key')).toMatchObject({ size: 0, origin: undefined })
  })

  it('that never got a byte leaves nothing', async () => {
    const partial = await pool.openPartial('key')
    await partial.keep()
    expect(await bench.downloads()).toEqual([])
  })

  it('belongs to one at a time', async () => {
    const first = await pool.openPartial('key')
    await writeFile(first.path, 'mine')
    const second = await pool.openPartial('key')
    expect(second.size).toBe(0)
    expect(second.path).not.toBe(first.path)
  })

  it('of another key is another', async () => {
    const first = await pool.openPartial('a')
    await writeFile(first.path, 'mine')
    await first.keep()
    expect(await pool.openPartial('b')).toMatchObject({ size: 0 })
  })
})

describe('what a dead process left', () => {
  const dead = ownIdentity().replace(/-\d+-/, '-1-')
  async function leave(rename: (name: string) => string, old = false): Promise<void> {
    const partial = await pool.openPartial('key')
    await writeFile(partial.path, 'part')
    await partial.keep()
    const [name] = (await readdir(bench.path('home/downloads'))).filter(file => file.endsWith('.part'))
    const left = bench.path(`home/downloads/${rename(name!.replace(/\.part$/, ''))}`)
    await writeFile(left, 'left by another')
    if (old) await utimes(left, 1, 1)
  }

  it.each([
    ['on another machine, long ago', (name: string) => `${name}.1-1-000000000000.aaaaaaaa.part`, true, 15],
    ['on another machine, just now', (name: string) => `${name}.1-1-000000000000.aaaaaaaa.part`, false, 4],
    ['under an earlier cloudimg, just now', (name: string) => `${name}.00000000-1-aaaaaaaa.part`, false, 4],
    [
      'here, just now, with the number of a process that runs',
      (name: string) => `${name}.${dead}.aaaaaaaa.part`,
      false,
      15,
    ],
  ])('%s', async (_name, rename, old, size) => {
    await leave(rename, old)
    expect((await pool.openPartial('key')).size).toBe(size)
  })
})
