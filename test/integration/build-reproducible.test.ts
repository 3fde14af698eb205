import { chmod, chown, mkdir, readFile, rename, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { must } from '../support/command.ts'
import { type BuildAnswer, buildK3s, type K3sBuild } from '../support/k3s-build.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { storeFaults, storeSnapshot } from '../support/store-check.ts'
import { makeTinyRelease, type TinyRelease } from '../support/tiny-release.ts'

let scratch: Scratch
let release: TinyRelease

beforeAll(async () => {
  scratch = await makeScratch()
  release = await makeTinyRelease(join(scratch.path, 'release'), { binaryBytes: 4_500_000 })
})
afterAll(async () => {
  await scratch[Symbol.asyncDispose]()
})

const at = (...parts: string[]): string => join(scratch.path, ...parts)

/** Names whose order differs between locales, and 2 MiB that shrink, so that a compressor takes part. */
const contextFiles: readonly (readonly [path: string, content: string, mode: number])[] = [
  ...['a', 'B', 'ä', 'Z', '_', 'ı', 'zz/Å', 'etc/one', 'etc/Two'].map(path => [path, `${path}\n`, 0o640] as const),
  ['scripts/hook', '#!/bin/sh\n', 0o755],
  ['data/words', 'the same words again and again\n'.repeat(70_000), 0o600],
]

async function writeContext(directory: string, order: 'forwards' | 'backwards' = 'forwards'): Promise<string> {
  const files = order === 'forwards' ? contextFiles : [...contextFiles].reverse()
  const directories = new Set(files.map(([path]) => dirname(join(directory, path))))
  for (const path of directories) await mkdir(path, { recursive: true })
  for (const [path, content, mode] of files) {
    await writeFile(join(directory, path), content)
    await chmod(join(directory, path), mode)
  }
  for (const path of directories) await chmod(path, 0o755)
  return directory
}

function settings(name: string, more: Partial<K3sBuild> = {}): K3sBuild {
  return { directory: at(name), context: at('context'), mirror: release.directory, ...more }
}

describe('the same inputs give the same index', () => {
  let first: BuildAnswer
  const homeOf = (name: string): CloudimgPlace => ({ home: at(`home-${name}`) })

  beforeAll(async () => {
    await writeContext(at('context'))
    first = await buildK3s(settings('first'), homeOf('first'))
  })

  const withUmask = (umask: string): readonly string[] => ['sh', '-c', `umask ${umask}; exec "$@"`, 'sh']
  it.each<readonly [string, Partial<CloudimgPlace>]>([
    ['umask 077', { through: withUmask('077') }],
    ['umask 000', { through: withUmask('000') }],
    ['another time zone', { env: { TZ: 'Pacific/Kiritimati' } }],
    ['another locale', { env: { LANG: 'tr_TR.UTF-8', LC_ALL: 'tr_TR.UTF-8' } }],
    ['the C locale', { env: { LANG: 'C', LC_ALL: 'C' } }],
    ['another working directory', { cwd: '/' }],
  ])('with %s', async (name, place) => {
    const label = name.replaceAll(' ', '-')
    const again = await buildK3s(settings(label), { ...homeOf(label), ...place })
    expect(again.index).toBe(first.index)
    expect(again.platforms.every(platform => platform.cached === 0)).toBe(true)
  })

  it.each(['ext4', 'tmpfs'])(
    'from files made in another order, at another place, with other times and owners, on %s',
    async kind => {
      const place = at(`other-${kind}`)
      await mkdir(place)
      if (kind === 'tmpfs') await must(['mount', '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', place])
      const context = await writeContext(join(place, 'deeper/context'), 'backwards')
      for (const [path] of contextFiles) {
        await utimes(join(context, path), 1_000_000_000, 1_234_567_890)
        await chown(join(context, path), 1000, 1000)
      }
      expect((await buildK3s(settings(kind, { context }), homeOf(kind))).index).toBe(first.index)
    },
  )

  it('in one run for both platforms and in one for each', async () => {
    const amd64 = await buildK3s(settings('alone', { platforms: 'linux/amd64' }), homeOf('alone'))
    const arm64 = await buildK3s(settings('alone', { platforms: 'linux/arm64' }), homeOf('alone'))
    expect([...amd64.platforms, ...arm64.platforms].map(platform => platform.manifest)).toEqual(
      first.platforms.map(platform => platform.manifest),
    )
  })

  it('and another SOURCE_DATE_EPOCH another one', async () => {
    const later = await buildK3s(settings('later'), { ...homeOf('later'), env: { SOURCE_DATE_EPOCH: '1700000000' } })
    expect(later.index).not.toBe(first.index)
  })
})

describe('building again', () => {
  const place = (): CloudimgPlace => ({ home: at('home-again') })
  const build = (): Promise<BuildAnswer> =>
    buildK3s(settings('again', { context: at('context-again') }), { ...place(), through: ['unshare', '-n'] })
  const store = (): string => storeOf(place())
  const withoutCache = (): readonly string[] => storeSnapshot(store()).filter(line => !line.startsWith('cache/'))
  const lock = (): Promise<string> => readFile(at('again/Kubefile.lock'), 'utf8')

  it('right after the context was written, writes no blob and no name', async () => {
    await writeContext(at('context-again'))
    const first = await build()
    const [before, pinned] = [storeSnapshot(store()), await lock()]
    const again = await build()
    expect(again.index).toBe(first.index)
    expect(again.platforms.map(platform => platform.cached)).toEqual(
      again.platforms.map(platform => platform.layers.length),
    )
    expect(again.lock.changed).toBe(false)
    expect(withoutCache()).toEqual(before.filter(line => !line.startsWith('cache/')))
    expect(await lock()).toBe(pinned)
  })

  it('once the context has rested, writes nothing at all, and needs neither the release nor a network', async () => {
    // Files are taken for unchanged by their times alone from two seconds after their last change; the first build after that notes it.
    await new Promise(resolve => setTimeout(resolve, 2_100))
    const first = await build()
    await rename(release.directory, `${release.directory}-away`)
    try {
      const before = storeSnapshot(store())
      const again = await build()
      expect(again.index).toBe(first.index)
      expect(storeSnapshot(store())).toEqual(before)
    } finally {
      await rename(`${release.directory}-away`, release.directory)
    }
  })

  it('after one byte of a small file changed, makes its layer anew, and the last one, whose Metadata lists it', async () => {
    const before = await build()
    await writeFile(at('context-again/etc/one'), 'etc/onE\n')
    const after = await build()
    for (const [index, platform] of after.platforms.entries()) {
      const old = before.platforms[index]!.layers.map(layer => layer.digest)
      const changed = platform.layers.flatMap((layer, number) => (layer.digest === old[number] ? [] : [number]))
      expect(changed).toHaveLength(2)
      expect(changed[1]).toBe(old.length - 1)
      expect(platform.layers).toHaveLength(old.length)
      expect(platform.cached).toBe(old.length - 2)
    }
    expect(await storeFaults(store())).toEqual([])
  })

  it('sees a change of the same size and time at once', async () => {
    const path = at('context-again/etc/one')
    const indexes = new Set<string>()
    for (const content of ['etc/on1\n', 'etc/on2\n', 'etc/on3\n']) {
      await writeFile(path, content)
      await utimes(path, 1_000_000_000, 1_000_000_000)
      indexes.add((await build()).index)
    }
    expect(indexes.size).toBe(3)
  })
})
