import { mkdir, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ownIdentity } from '../../src/io/process-identity.ts'
import { cloudimg, cloudimgFailure, cloudimgJson, type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { must } from '../support/command.ts'
import { type BuildAnswer, buildK3s, type K3sBuild, k3sBuildArgs } from '../support/k3s-build.ts'
import { noise } from '../support/noise.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { storeFaults, strayFiles } from '../support/store-check.ts'
import { makeTinyRelease, type TinyRelease } from '../support/tiny-release.ts'

let scratch: Scratch
let release: TinyRelease
let good: BuildAnswer

const at = (...parts: string[]): string => join(scratch.path, ...parts)
const settings = (name: string): K3sBuild => ({
  directory: at(name),
  context: at('context'),
  mirror: release.directory,
})

beforeAll(async () => {
  scratch = await makeScratch()
  release = await makeTinyRelease(at('release'), { binaryBytes: 5_000_000 })
  await mkdir(at('context/data'), { recursive: true })
  await writeFile(at('context/data/noise'), noise('context', 6_000_000))
  await writeFile(at('context/data/words'), 'again and again\n'.repeat(200_000))
  good = await buildK3s(settings('good'), { home: at('good-home') })
})
afterAll(async () => {
  await scratch[Symbol.asyncDispose]()
})

async function expectGood(name: string, place: CloudimgPlace): Promise<void> {
  expect((await buildK3s(settings(name), place)).index).toBe(good.index)
  expect(await storeFaults(storeOf(place))).toEqual([])
}

describe('a full disk', () => {
  const onDisk = async (name: string, size: string): Promise<CloudimgPlace> => {
    await mkdir(at(name))
    await must(['mount', '-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', at(name)])
    return { home: at(name, 'home') }
  }
  const enlarge = (name: string): Promise<string> => must(['mount', '-o', 'remount,size=64m', at(name)])

  // The release is 10 MB, the context another 6: the disk is full while downloading, and while layers are written.
  it.each(['64k', '1m', '4m', '8m', '12m', '15m'])(
    'of %s is told, and a larger one takes the same command',
    async size => {
      const name = `disk-${size}`
      const place = await onDisk(name, size)
      const failure = await cloudimgFailure(await k3sBuildArgs(settings(`build-${name}`)), place)
      expect(failure).toMatchObject({ exit: 1, code: 'DISK_FULL' })
      expect(failure.message).toMatch(/".*": no space left on the device$/)
      expect(failure.hint).toContain('CLOUDIMG_HOME')
      expect(strayFiles(storeOf(place))).toEqual([])
      await enlarge(name)
      await expectGood(`build-${name}`, place)
      await must(['umount', at(name)])
    },
  )

  it('under a directory that is unpacked into leaves nothing there', async () => {
    const place = { home: at('good-home') }
    await onDisk('unpacking', '4m')
    const args = ['unpack', 'k3s:1', at('unpacking/tree')]
    expect(await cloudimgFailure(args, place)).toMatchObject({ exit: 1, code: 'DISK_FULL' })
    expect(await must(['ls', '-A', at('unpacking')])).toBe('')
    await enlarge('unpacking')
    await cloudimgJson(args, place)
    await must(['umount', at('unpacking')])
  })
})

describe('one store', () => {
  it('loses what a killed program left half written, once nobody can be writing it', async () => {
    const place = { home: at('leftovers') }
    const tmp = join(storeOf(place), 'tmp')
    await mkdir(tmp, { recursive: true })
    const own = ownIdentity()
    const dead = own.replace(/-\d+-/, '-1-')
    const elsewhere = '1-1-0123456789ab'
    const hourAgo = new Date(Date.now() - 3_600_000)
    for (const name of [`${dead}.new`, `${elsewhere}.old`, `${elsewhere}.new`, `${own}.old`]) {
      await writeFile(join(tmp, name), 'half')
      if (name.endsWith('.old')) await utimes(join(tmp, name), hourAgo, hourAgo)
    }
    await expectGood('leftovers-build', place)
    expect(strayFiles(storeOf(place))).toEqual([`tmp/${own}.old`, `tmp/${elsewhere}.new`].sort())
  })

  it('serves builds at the same time', async () => {
    const place = { home: at('shared') }
    const names = ['shared-1', 'shared-2', 'shared-3']
    const built = await Promise.all(names.map(name => buildK3s({ ...settings(name), tag: `${name}:1` }, place)))
    expect(built.map(answer => answer.index)).toEqual(names.map(() => good.index))
    expect(await storeFaults(storeOf(place))).toEqual([])
    expect(strayFiles(storeOf(place))).toEqual([])
  })

  it('serves builds at the same time from one Kubefile, with one lock', async () => {
    const place = { home: at('same-lock') }
    const built = await Promise.all([1, 2].map(() => buildK3s(settings('same-lock-build'), place)))
    expect(built.map(answer => answer.index)).toEqual([good.index, good.index])
    await cloudimgJson(await k3sBuildArgs({ ...settings('same-lock-build'), flags: ['--locked'] }), place)
  })

  it('that is read-only can be read, and says what it cannot do', async () => {
    const place = { home: at('read-only') }
    await expectGood('read-only-build', place)
    const store = storeOf(place)
    await must(['mount', '--bind', store, store])
    await must(['mount', '-o', 'remount,ro,bind', store])
    for (const args of [
      ['images'],
      ['inspect', 'k3s:1'],
      ['history', 'k3s:1'],
      ['unpack', 'k3s:1', at('read-only-tree')],
    ]) {
      expect(await cloudimg(args, place)).toMatchObject({ code: 0 })
    }
    await writeFile(at('context/new'), 'new')
    const failure = await cloudimgFailure(await k3sBuildArgs(settings('read-only-build')), place)
    expect(failure).toMatchObject({ exit: 1, code: 'FILE_ERROR' })
    expect(failure.message).toContain('the file system is read-only')
    await rm(at('context/new'))
    await must(['umount', store])
    await expectGood('read-only-build', place)
  })
})
