import { copyFile, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { cloudimg, cloudimgFailure, cloudimgJson, type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { type CloudimgServer, startCloudimgServer } from '../support/cloudimg-server.ts'
import { attempt, must } from '../support/command.ts'
import { noise } from '../support/noise.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { storeFaults, storeSnapshot, strayFiles } from '../support/store-check.ts'

let scratch: Scratch
const at = (...parts: string[]): string => join(scratch.path, ...parts)
/** Has `image:1`, of 5 MB that do not shrink, and serves it. */
const good = (): CloudimgPlace => ({ home: at('good') })
let server: CloudimgServer
let digest: string

beforeAll(async () => {
  scratch = await makeScratch()
  await mkdir(at('context'))
  await writeFile(at('context/noise'), noise('disk', 5_000_000))
  await writeFile(at('Kubefile'), 'FROM scratch\nCOPY . /\n')
  const build = ['build', '-f', at('Kubefile'), '-t', 'image:1', at('context')]
  digest = (await cloudimgJson<{ index: string }>(build, good())).index
  await cloudimgJson(['save', '-o', at('image.tar'), 'image:1'], good())
  await must(['zstd', '-q', at('image.tar')])
  server = await startCloudimgServer(good(), at('server.log'))
  await cloudimgJson(['push', 'image:1', `${server.host}/image:1`], good())
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

let serial = 0
let disk: string
let place: CloudimgPlace

async function mountDisk(size: string): Promise<void> {
  disk = at(`disk-${++serial}`)
  place = { home: join(disk, 'home') }
  await mkdir(disk)
  await must(['mount', '-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', disk])
}

/** To the last byte; errors of dd are the point. */
async function fill(): Promise<void> {
  await attempt(['dd', 'if=/dev/zero', `of=${join(disk, 'ballast')}`, 'bs=4k'])
  expect((await attempt(['dd', 'if=/dev/zero', `of=${join(disk, 'more')}`, 'bs=1', 'count=1'])).code).not.toBe(0)
}

describe('a disk too small', () => {
  beforeEach(() => mountDisk('3m'))

  it.each<readonly [string, () => readonly string[]]>([
    ['load', () => ['load', '-i', at('image.tar')]],
    ['load of a packed archive', () => ['load', '-i', at('image.tar.zst')]],
    ['pull', () => ['pull', `${server.host}/image:1`]],
    ['build', () => ['build', '-f', at('Kubefile'), '-t', 'image:1', at('context')]],
    ['save into it', () => ['save', '-o', join(disk, 'saved.tar'), 'image:1']],
    ['save of a directory into it', () => ['save', '--format', 'oci-dir', '-o', join(disk, 'saved'), 'image:1']],
  ])('for %s is told, leaves nothing half, and a larger one takes the same command', async (what, args) => {
    const who = what.startsWith('save') ? good() : place
    const before = storeSnapshot(storeOf(good()))
    const failure = await cloudimgFailure(args(), who)
    expect(failure).toMatchObject({ exit: 1, code: 'DISK_FULL' })
    expect(failure.hint).toContain('free some space')
    expect(failure.stderr).not.toMatch(/\n\s+at /)
    expect((await readdir(disk)).filter(name => /saved.*(?:tar|tmp)$/.test(name))).toEqual([])
    expect(strayFiles(storeOf(who)).filter(path => path.startsWith('tmp/'))).toEqual([])
    expect(await storeFaults(storeOf(who))).toEqual([])
    await must(['mount', '-o', 'remount,size=32m', disk])
    await rm(join(disk, 'saved'), { recursive: true, force: true })
    await cloudimgJson(args(), who)
    expect(await cloudimgJson(['fsck'], who)).toMatchObject({ ok: true })
    if (who.home === good().home) expect(storeSnapshot(storeOf(good()))).toEqual(before)
    await must(['umount', disk])
  })

  it('behind a server is told to who pushes, and the server lives on', async () => {
    await using small = await startCloudimgServer(place, at(`small-${serial}.log`))
    const push = ['push', 'image:1', `${small.host}/image:1`]
    const failure = await cloudimgFailure(push, good())
    expect(failure.exit).toBe(1)
    expect(failure.message).toContain(small.host)
    expect(await storeFaults(storeOf(place))).toEqual([])
    await must(['mount', '-o', 'remount,size=32m', disk])
    expect(await cloudimgJson(push, good())).toMatchObject({ digest })
    expect(await cloudimgJson(['fsck'], place)).toMatchObject({ ok: true })
  })
})

describe('a store on a full disk', () => {
  it('can be read, checked, and made free again', async () => {
    await mountDisk('16m')
    await cloudimgJson(['load', '-i', at('image.tar')], place)
    await cloudimgJson(['tag', 'image:1', 'image:2'], place)
    await fill()
    const target = at('from-full')
    for (const args of [
      ['images'],
      ['inspect', 'image:1'],
      ['df'],
      ['fsck'],
      ['unpack', 'image:1', target],
      ['save', '-o', at('from-full.tar'), 'image:1'],
      ['push', 'image:1', `${server.host}/full:1`],
      ['gc', '--dry-run'],
    ]) {
      const { code, stderr } = await cloudimg(args, place)
      expect(`${args[0]}: ${code} ${code === 0 ? '' : stderr}`).toBe(`${args[0]}: 0 `)
    }
    expect(await cloudimgFailure(['tag', 'image:1', 'image:3'], place)).toMatchObject({ code: 'DISK_FULL' })
    await cloudimgJson(['rmi', 'image:1', 'image:2'], place)
    const { bytes } = await cloudimgJson<{ bytes: number }>(['gc'], place)
    expect(bytes).toBeGreaterThan(5_000_000)
    expect(await cloudimgJson(['load', '-i', at('image.tar')], place)).toMatchObject({ loaded: [{ digest }] })
    expect(await storeFaults(storeOf(place))).toEqual([])
    await must(['umount', disk])
  })
})

describe('a read-only store', () => {
  beforeAll(async () => {
    const store = storeOf({ home: at('read-only') })
    place = { home: at('read-only') }
    await cloudimgJson(['load', '-i', at('image.tar')], place)
    await cloudimgJson(['rmi', 'image:1'], place)
    await cloudimgJson(['load', '-i', at('image.tar')], place)
    // As one of an older version: what only writers need is not there.
    for (const folder of ['leases', 'sweeps']) await rm(join(store, folder), { recursive: true, force: true })
    await must(['mount', '--bind', store, store])
    await must(['mount', '-o', 'remount,ro,bind', store])
    await copyFile(at('Kubefile'), at('Kubefile-other'))
  })

  it.each<readonly [string, readonly string[]]>([
    ['images', ['images']],
    ['inspect', ['inspect', 'image:1']],
    ['history', ['history', 'image:1']],
    ['df', ['df', '--verbose']],
    ['fsck', ['fsck']],
    ['gc --dry-run', ['gc', '--dry-run']],
    ['prune --dry-run', ['prune', '--all', '--dry-run']],
    ['load of what is there', ['load', '-i', 'ARCHIVE']],
    ['pull of what is there', ['tag', 'image:1', 'image:1']],
  ])('serves %s', async (_, args) => {
    const { code, stderr } = await cloudimg(
      args.map(arg => (arg === 'ARCHIVE' ? at('image.tar') : arg)),
      { home: at('read-only') },
    )
    expect(`${code} ${code === 0 ? '' : stderr}`).toBe('0 ')
  })

  it('serves push, save, unpack and serve', async () => {
    const who = { home: at('read-only') }
    await cloudimgJson(['unpack', 'image:1', at('ro-tree')], who)
    await cloudimgJson(['save', '-o', at('ro.tar'), 'image:1'], who)
    expect((await stat(at('ro.tar'))).size).toBe((await stat(at('image.tar'))).size)
    expect(await cloudimgJson(['push', 'image:1', `${server.host}/ro:1`], who)).toMatchObject({ digest })
    await using reading = await startCloudimgServer(who, at('ro.log'))
    const pulled = await cloudimgJson(['pull', `${reading.host}/docker.io/library/image:1`], { home: at('ro-pulled') })
    expect(pulled).toMatchObject({ digest })
  })

  it.each<readonly [string, readonly string[]]>([
    ['gc', ['gc']],
    ['prune', ['prune', '--all', '--force']],
    ['rmi', ['rmi', 'image:1']],
    ['tag', ['tag', 'image:1', 'image:2']],
    ['build', ['build', '-f', 'KUBEFILE', '-t', 'other:1', 'CONTEXT']],
  ])('says what it cannot do: %s', async (_, args) => {
    const real = args.map(arg => ({ KUBEFILE: at('Kubefile-other'), CONTEXT: at('context') })[arg] ?? arg)
    const failure = await cloudimgFailure(real, { home: at('read-only') })
    expect(failure).toMatchObject({ exit: 1, code: 'FILE_ERROR' })
    expect(failure.message).toContain('the file system is read-only')
    expect(failure.hint).toContain('CLOUDIMG_HOME')
  })
})
