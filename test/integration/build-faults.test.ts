import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { cloudimg, cloudimgFailure, type CloudimgFailure, type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { type BuildAnswer, buildK3s, type K3sBuild, k3sBuildArgs } from '../support/k3s-build.ts'
import {
  type ReleaseFault,
  type ReleaseFaults,
  type ReleaseServer,
  startReleaseServer,
} from '../support/release-server.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { storeFaults } from '../support/store-check.ts'
import { makeTinyRelease, type TinyRelease } from '../support/tiny-release.ts'

let scratch: Scratch
let release: TinyRelease
let server: ReleaseServer
/** What every good build must give. */
let good: BuildAnswer

const at = (...parts: string[]): string => join(scratch.path, ...parts)
const place = (): CloudimgPlace => ({ home: at('home') })

beforeAll(async () => {
  scratch = await makeScratch()
  release = await makeTinyRelease(at('release'), { binaryBytes: 5_000_000 })
  server = await startReleaseServer(release.directory)
  await mkdir(at('context/manifests'), { recursive: true })
  await writeFile(
    at('context/manifests/pause.yaml'),
    'kind: Pod\nspec: {containers: [{image: rancher/mirrored-pause:3.6}]}\n',
  )
  good = await buildK3s(
    { directory: at('good'), context: at('context'), mirror: release.directory },
    { home: at('good-home') },
  )
})
afterAll(async () => {
  await server.close()
  await scratch[Symbol.asyncDispose]()
})

/** A build from the server: its lock is new unless the test made one. */
function settings(more: Partial<K3sBuild> = {}): K3sBuild {
  return { directory: at('build'), context: at('context'), mirror: server.url, ...more }
}

async function failing(more: Partial<K3sBuild> = {}): Promise<CloudimgFailure> {
  return await cloudimgFailure(await k3sBuildArgs(settings(more)), place())
}

/** Whatever went wrong: store and cache are sound, and the same command works once the cause is gone. */
async function expectRecovery(): Promise<void> {
  server.setFaults({})
  expect(await storeFaults(storeOf(place()))).toEqual([])
  expect((await buildK3s(settings(), place())).index).toBe(good.index)
  expect(await storeFaults(storeOf(place()))).toEqual([])
}

describe('fetching', () => {
  afterEach(async () => {
    await rm(place().home, { recursive: true, force: true })
    await rm(at('build'), { recursive: true, force: true })
  })

  it.each<readonly [string, ReleaseFaults, number, string, RegExp]>([
    [
      'a flipped byte in k3s',
      { k3s: { flip: 1234 } },
      5,
      'DIGEST_MISMATCH',
      /fetching k3s .*wanted sha256:.*found sha256:/,
    ],
    ['a k3s that is too short', { k3s: { only: 1000 } }, 5, 'DIGEST_MISMATCH', /fetching k3s .*wanted sha256:/],
    ['an empty archive', { 'k3s-airgap-images-arm64.tar.zst': { only: 0 } }, 5, 'DIGEST_MISMATCH', /arm64/],
    [
      'a download that stands still',
      { k3s: { cut: 0 } },
      1,
      'ARTIFACT_UNAVAILABLE',
      /fetching k3s .*the connection was cut/,
    ],
    ['a server that is out of order', { k3s: { status: 500 } }, 1, 'ARTIFACT_UNAVAILABLE', /k3s.* answers 500/],
    ['a missing binary', { 'k3s-arm64': { status: 404 } }, 1, 'ARTIFACT_UNAVAILABLE', /k3s.*arm64.* answers 404/],
    [
      'a missing checksum file',
      { 'sha256sum-amd64.txt': { status: 404 } },
      1,
      'ARTIFACT_UNAVAILABLE',
      /sha256sum-amd64/,
    ],
    ['a checksum file that is none', { 'sha256sum-amd64.txt': { only: 10 } }, 1, 'ARCHIVE_INVALID', /sha256sum-amd64/],
    ['who may not read', { 'install.sh': { status: 403 } }, 1, 'ARTIFACT_UNAVAILABLE', /install\.sh.* answers 403/],
  ])('tells of %s', async (_, faults, exit, code, message) => {
    server.setFaults(faults)
    const failure = await failing()
    expect(failure).toMatchObject({ exit, code })
    expect(failure.message).toMatch(message)
    expect(failure.stderr).not.toMatch(/\n\s+at /)
    await expectRecovery()
  })

  /** Of each request for the binary: the whole, or the rest of it. */
  const asked = (): readonly string[] =>
    server.seen
      .filter(({ path }) => path.endsWith('/k3s'))
      .map(({ headers }) => (/^bytes=[1-9]\d*-$/.test(headers.range ?? '') ? 'rest' : 'whole'))

  it.each<readonly [string, ReleaseFault, string]>([
    ['a connection that broke twice', { cut: 2_000_000 }, 'rest'],
    ['a server that was busy', { status: 503 }, 'whole'],
  ])('gets over %s', async (_, fault, again) => {
    server.setFaults({ k3s: [fault, fault] })
    server.seen.length = 0
    expect((await buildK3s(settings(), place())).index).toBe(good.index)
    expect(asked()).toEqual(['whole', again, again])
    await expectRecovery()
  })

  it('resumes in the next run what this one could not finish', async () => {
    server.setFaults({ k3s: [{ cut: 2_000_000 }, ...Array.from({ length: 50 }, () => ({ status: 503 }))] })
    expect(await failing()).toMatchObject({ exit: 1, code: 'ARTIFACT_UNAVAILABLE' })
    server.setFaults({})
    server.seen.length = 0
    await buildK3s(settings(), place())
    expect(asked()).toEqual(['rest'])
    await expectRecovery()
  })

  it('refuses what the lock knows otherwise', async () => {
    await mkdir(at('build'))
    const lock = at('build/Kubefile.lock')
    await copyFile(at('good/Kubefile.lock'), lock)
    const text = await readFile(lock, 'utf8')
    const other = text.replace(/(install\.sh[\s\S]{0,200}?sha256:)[0-9a-f]{64}/, `$1${'0'.repeat(64)}`)
    expect(other).not.toBe(text)
    await writeFile(lock, other)
    const failure = await failing()
    expect(failure).toMatchObject({ exit: 5, code: 'LOCK_MISMATCH' })
    expect(failure.message).toMatch(/install\.sh.*sha256:0{64}.*sha256:/)
    expect(failure.hint).toContain('cloudimg lock --update')
    expect(await readFile(lock, 'utf8')).toBe(other)
    await rm(lock)
    await expectRecovery()
  })

  it('refuses with --locked what the lock does not know', async () => {
    expect(await failing({ flags: ['--locked'] })).toMatchObject({ exit: 5, code: 'LOCK_MISMATCH' })
    await expectRecovery()
  })

  it('says with --offline all that is missing, and asks nobody', async () => {
    server.seen.length = 0
    const failure = await failing({ flags: ['--offline'] })
    expect(failure).toMatchObject({ exit: 1, code: 'OFFLINE' })
    for (const name of ['sha256sum-amd64.txt', 'sha256sum-arm64.txt', 'k3s-images.txt', 'install.sh']) {
      expect(failure.message).toContain(name)
    }
    expect(server.seen).toEqual([])
    await expectRecovery()
  })

  it('refuses a list of images that is not the archive’s', async () => {
    server.setFaults({ 'k3s-images.txt': { only: 150 } })
    expect(await failing()).toMatchObject({ exit: 1, code: 'ARCHIVE_INVALID' })
    await expectRecovery()
  })
})

describe('a Kubefile', () => {
  const build = async (source: string): Promise<{ readonly code: number; readonly stderr: string }> => {
    await writeFile(at('Kubefile'), source)
    return await cloudimg(['build', '-f', at('Kubefile'), '-t', 'broken:1', at('context')], place())
  }
  const carets = (stderr: string): readonly string[] =>
    [...stderr.matchAll(/Kubefile:(\d+):(\d+)\n(?:.*\n)?>>> .*\n +\| *(\^+)/g)].map(
      ([, line, column, marks]) => `${line}:${column} ${marks}`,
    )

  it('with five mistakes shows all five, each at its place', async () => {
    const { code, stderr } = await build(
      ['FROM scratch', 'COYP . .', 'COPY --chmdo=0755 a b', 'ENV', 'COPY a', 'LABEL a=${x:=1}', ''].join('\n'),
    )
    expect(code).toBe(3)
    expect(stderr.match(/error\[KUBEFILE_INVALID\]/g)).toHaveLength(5)
    expect(carets(stderr)).toEqual(['2:1 ^^^^', '3:6 ^^^^^^^^^^^^', '4:1 ^^^', '5:6 ^', '6:9 ^^^^^'])
    expect(stderr).toContain('did you mean COPY?')
    expect(stderr).toContain('did you mean --chmod?')
  })

  it('that asks for what cannot be built yet says so at each place', async () => {
    const lines = ['FROM scratch', 'RUN --security=insecure make', 'RUN --device=x make', 'COPY --chown=a:b:c a /']
    const { code, stderr } = await build([...lines, ''].join('\n'))
    expect(code).toBe(3)
    expect(stderr.match(/cannot be built yet/g)).toHaveLength(2)
    const flag = (text: string): string => '^'.repeat(text.length)
    expect(carets(stderr)).toEqual([`2:5 ${flag('--security=insecure')}`, `3:5 ${flag('--device=x')}`, '4:14 ^^^^^'])
  })

  it.each([
    ['a source that is not there', 'COPY nowhere /x/', 'no such file'],
    ['a wildcard that matches nothing', 'COPY *.nothing /x/', 'copying nothing'],
    ['a file over a directory', 'COPY manifests/ /x/pause.yaml/\nCOPY manifests/pause.yaml /x/', 'directory'],
    ['a user that nobody knows', 'COPY --chown=nobody-here . /', 'nobody-here'],
    ['a version that is no tag', 'BASE k3s@v1.25.3', 'v1.25.3'],
    ['a template that is not there', 'BASE k4s@v1', 'k4s'],
  ])('with %s says so at its place', async (_, line, message) => {
    const { code, stderr } = await build(`FROM scratch\n${line}\n`)
    expect(code).toBe(3)
    expect(stderr).toContain(message)
    expect(carets(stderr)).toHaveLength(1)
  })
})

describe('sealing', () => {
  const wanting = (name: string, text: string): Promise<void> =>
    mkdir(at(name, 'manifests'), { recursive: true }).then(() => writeFile(at(name, 'manifests/app.yaml'), text))
  const pod =
    'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - image: docker.io/library/nginx:1.27\n'

  it('refuses an image that cannot be had, and says who asks for it', async () => {
    await wanting('wants', pod)
    const failure = await failing({ context: at('wants'), mirror: release.directory, flags: ['--offline'] })
    expect(failure).toMatchObject({ exit: 1, code: 'OFFLINE' })
    expect(failure.message).toContain('docker.io/library/nginx:1.27 (manifests/app.yaml:6 ')
  })

  it('refuses what an imageList names, too', async () => {
    await mkdir(at('lists/manifests'), { recursive: true })
    await writeFile(at('lists/manifests/ImageList'), '# what runs\nrancher/mirrored-pause:3.6\n\nbusybox:1.36\n')
    const failure = await failing({ context: at('lists'), mirror: release.directory, flags: ['--offline'] })
    expect(failure).toMatchObject({ exit: 1, code: 'OFFLINE' })
    expect(failure.message).toContain('docker.io/library/busybox:1.36 (manifests/ImageList:4)')
    expect(failure.message).not.toContain('mirrored-pause')
  })

  it('with --collect=never builds, and Metadata says that it is unsealed and why', async () => {
    await wanting('unsealed', pod)
    await buildK3s(settings({ context: at('unsealed'), flags: ['--collect=never'], tag: 'unsealed:1' }), place())
    const target = at('unsealed-tree')
    expect((await cloudimg(['unpack', 'unsealed:1', target, '--platform', 'linux/arm64'], place())).code).toBe(0)
    const metadata = JSON.parse(await readFile(join(target, 'Metadata'), 'utf8')) as Record<string, unknown>
    expect(metadata).toMatchObject({
      sealed: false,
      unsealed: [expect.stringMatching(/--collect=never: 1 named image/)],
    })
  })

  it('says sealed where all is there', async () => {
    await buildK3s(settings({ tag: 'sealed:1' }), place())
    const target = at('sealed-tree')
    expect((await cloudimg(['unpack', 'sealed:1', target], place())).code).toBe(0)
    const metadata = JSON.parse(await readFile(join(target, 'Metadata'), 'utf8')) as Record<string, unknown>
    expect(metadata).toMatchObject({ sealed: true, unsealed: [] })
  })
})
