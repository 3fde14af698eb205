import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cloudimg, cloudimgFailure, cloudimgJson, type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { type BuildAnswer, buildK3s } from '../support/k3s-build.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { storeFaults } from '../support/store-check.ts'
import { makeTinyRelease } from '../support/tiny-release.ts'

let scratch: Scratch
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const place = (): CloudimgPlace => ({ home: at('home') })
let built: BuildAnswer

const build = (more: readonly string[] = []): Promise<BuildAnswer> =>
  buildK3s({ directory: at('build'), context: at('context'), mirror: at('release'), flags: more }, place())

beforeAll(async () => {
  scratch = await makeScratch()
  await makeTinyRelease(at('release'))
  await mkdir(at('context'))
  await writeFile(at('context/file'), 'content')
  built = await build()
})
afterAll(async () => {
  await scratch[Symbol.asyncDispose]()
})

const blobs = async (): Promise<number> => (await readdir(join(storeOf(place()), 'blobs/sha256'))).length
const text = async (...args: string[]): Promise<string> => (await cloudimg(args, place())).stdout

describe('gc', () => {
  it('leaves all that the next build needs, without network and release', async () => {
    const before = await blobs()
    expect(await text('gc')).toBe('removed 0 blobs: 0 B\n')
    expect(await blobs()).toBe(before)
    expect((await build(['--offline', '--locked'])).index).toBe(built.index)
  })
})

describe('df', () => {
  it('shows what takes how much, and what frees it', async () => {
    const table = await text('df', '--verbose')
    expect(table).toMatch(/^IMAGE +DIGEST +SIZE +SHARED +UNIQUE\nk3s:1 /)
    expect(table).toMatch(/\ndownloads +\d+ +[\d.]+ [KM]?i?B +prune --cache\n/)
    expect(table).toMatch(/\nin all +[\d.]+ [KM]iB/)
  })
})

describe('prune', () => {
  it('asks before names and caches go, and off a terminal wants --force', async () => {
    for (const flag of ['--all', '--cache']) {
      const failure = await cloudimgFailure(['prune', flag], place())
      expect(failure).toMatchObject({ exit: 2, code: 'USAGE' })
      expect(failure.hint).toContain('--force')
    }
    expect(await cloudimgJson(['prune', '--all', '--cache', '--dry-run'], place())).toMatchObject({
      dryRun: true,
      names: ['docker.io/library/k3s:1'],
    })
    expect((await cloudimgJson<{ images: unknown[] }>(['images'], place())).images).toHaveLength(1)
  })

  it('with until leaves what is younger', async () => {
    const args = ['prune', '--all', '--cache', '--force', '--filter', 'until=1h']
    expect(await cloudimgJson(args, place())).toMatchObject({ names: [], cache: {}, blobs: [] })
    const ref = join(storeOf(place()), 'refs/docker.io/library/k3s/_tags/1.json')
    await utimes(ref, 1, 1)
    expect(await cloudimgJson(args, place())).toMatchObject({ names: ['docker.io/library/k3s:1'], blobs: [] })
    expect((await build()).index).toBe(built.index)
  })
})

describe('fsck', () => {
  const config = (): string =>
    join(storeOf(place()), 'blobs/sha256', built.platforms[0]!.config.slice('sha256:'.length))

  it('is quiet about a sound store', async () => {
    expect(await text('fsck')).toMatch(/^checked \d+ blobs, \d+ recipes?, 1 name, .*: no fault\n$/)
  })

  it('tells of damage, moves it out of the way, and the same build makes the image whole', async () => {
    await writeFile(config(), '{}')
    const told = await cloudimg(['fsck'], place())
    expect(told.code).toBe(5)
    expect(told.stdout).toContain(`broken: blob ${built.platforms[0]!.config}: its bytes hash to sha256:`)
    expect(told.stdout).toContain('(k3s:1)')
    expect(told.stdout).toContain('next: cloudimg fsck --repair')
    expect(await text('images')).toMatch(/k3s:1 .*broken: see cloudimg fsck/)
    const repaired = await cloudimg(['fsck', '--repair'], place())
    expect(repaired.code).toBe(5)
    expect(repaired.stdout).toContain('moved to quarantine')
    expect(repaired.stdout).toContain('to have k3s:1 whole again: cloudimg pull k3s:1, or load or build it again')
    expect((await build()).index).toBe(built.index)
    expect((await cloudimg(['fsck'], place())).code).toBe(0)
    expect(await text('gc')).toContain('1 unfinished or quarantined file')
    expect(await storeFaults(storeOf(place()))).toEqual([])
  })

  it('as JSON says all of it', async () => {
    expect(await cloudimgJson(['fsck'], place())).toMatchObject({ ok: true, faults: [], checked: { names: 1 } })
  })
})

describe('prune --all --cache', () => {
  it('leaves nothing', async () => {
    await cloudimgJson(['prune', '--all', '--cache', '--force'], place())
    expect(await blobs()).toBe(0)
    expect(await cloudimgJson(['df'], place())).toMatchObject({ bytes: 0 })
    expect((await build()).index).toBe(built.index)
  })
})
