import { spawn } from 'node:child_process'
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  cloudimg,
  cloudimgEnvironment,
  cloudimgFailure,
  cloudimgJson,
  type CloudimgPlace,
  cloudimgProgram,
  storeOf,
} from '../support/cloudimg.ts'
import { startCloudimgServer } from '../support/cloudimg-server.ts'
import { eventually, must } from '../support/command.ts'
import { freePort } from '../support/daemon.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import type { BuildAnswer } from '../support/k3s-build.ts'
import { noise, seededRandom } from '../support/noise.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { storeFaults, strayFiles } from '../support/store-check.ts'

let scratch: Scratch
/** Asks for a password. */
let registry: RealRegistry
/** Has the image `local/image:1`. */
let place: CloudimgPlace
let built: BuildAnswer

const at = (...parts: string[]): string => join(scratch.path, ...parts)

beforeAll(async () => {
  scratch = await makeScratch()
  registry = await startRealRegistry({ auth: 'basic' })
  place = { home: at('home') }
  await mkdir(at('context'))
  await writeFile(at('context/one'), noise('one', 8_000_000))
  await writeFile(at('context/two'), noise('two', 6_000_000))
  await writeFile(at('Kubefile'), 'FROM scratch\nCOPY . .\n')
  built = await cloudimgJson(['build', '-f', at('Kubefile'), '-t', 'local/image:1', at('context')], place)
})
afterAll(async () => {
  await registry[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

const login = (password: string, who = place): Promise<{ readonly code: number }> =>
  cloudimg(['login', '-u', registry.credentials.user, '--password-stdin', registry.host], { ...who, input: password })

describe('a registry', () => {
  it('that is not there is named, with the reason', async () => {
    const gone = `127.0.0.1:${await freePort()}`
    const failure = await cloudimgFailure(['push', 'local/image:1', `${gone}/image:1`], place)
    expect(failure).toMatchObject({ exit: 1, code: 'NETWORK' })
    expect(failure.message).toContain(gone)
    expect(failure.message).toContain('connection refused')
    expect(await storeFaults(storeOf(place))).toEqual([])
  })

  it('that does not know who asks refuses, and says how to log in', async () => {
    const stranger = { home: at('stranger') }
    const failure = await cloudimgFailure(['pull', `${registry.host}/image:1`], stranger)
    expect(failure).toMatchObject({ exit: 4, code: 'REGISTRY_AUTH' })
    expect(failure.hint).toContain(`cloudimg login ${registry.host}`)
  })

  it('refuses a wrong password at once, and when it is kept in a config.json', async () => {
    const wrong = { home: at('wrong') }
    expect(await login('wrong', wrong)).toMatchObject({ code: 4 })
    await mkdir(join(wrong.home, 'docker'), { recursive: true })
    const auth = Buffer.from(`${registry.credentials.user}:wrong`).toString('base64')
    await writeFile(join(wrong.home, 'docker/config.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }))
    const failure = await cloudimgFailure(['pull', `${registry.host}/image:1`], wrong)
    expect(failure).toMatchObject({ exit: 4, code: 'REGISTRY_AUTH' })
    expect(failure.stderr).not.toContain(auth)
    expect(failure.stderr).not.toContain('wrong"')
  })

  it('takes the right one, and has what was pushed', async () => {
    expect(await login(registry.credentials.password)).toMatchObject({ code: 0 })
    await cloudimgJson(['push', 'local/image:1', `${registry.host}/image:1`], place)
    const pulled = await cloudimgJson<{ digest: string }>(['pull', `${registry.host}/image:1`], place)
    expect(pulled.digest).toBe(built.index)
  })

  it('that lacks the image is told from one that refuses', async () => {
    const failure = await cloudimgFailure(['pull', `${registry.host}/image:nothing`], place)
    expect(failure).toMatchObject({ exit: 1, code: 'IMAGE_NOT_FOUND' })
  })

  it('that is read-only refuses a push, and still serves', async () => {
    const serving = { home: at('serving') }
    await using readOnly = await startCloudimgServer(serving, at('read-only.log'), ['--read-only'])
    const failure = await cloudimgFailure(['push', 'local/image:1', `${readOnly.host}/image:1`], place)
    expect(failure).toMatchObject({ exit: 1, code: 'REGISTRY_ERROR' })
    expect(failure.message).toContain('read-only')
    expect(await cloudimgJson(['images'], serving)).toMatchObject({ images: [] })
    expect(await storeFaults(storeOf(serving))).toEqual([])
  })
})

describe('a pull', () => {
  const image = (): string => `${registry.host}/image:1`

  it('into a full disk says so, and works once there is room', async () => {
    await mkdir(at('small'))
    await must(['mount', '-t', 'tmpfs', '-o', 'size=10m', 'tmpfs', at('small')])
    const small = { home: at('small/home') }
    await login(registry.credentials.password, small)
    expect(await cloudimgFailure(['pull', image()], small)).toMatchObject({ exit: 1, code: 'DISK_FULL' })
    expect(await storeFaults(storeOf(small))).toEqual([])
    expect(strayFiles(storeOf(small))).toEqual([])
    await must(['mount', '-o', 'remount,size=64m', at('small')])
    expect(await cloudimgJson(['pull', image()], small)).toMatchObject({ digest: built.index })
    expect(await storeFaults(storeOf(small))).toEqual([])
    await must(['umount', at('small')])
  })

  const random = seededRandom(7)
  it.each(Array.from({ length: 4 }, (_, index) => [index, 150 + 400 * random()] as const))(
    'killed at moment %i leaves a sound store, and the next one completes it',
    async (index, moment) => {
      const killed = { home: at(`killed-${index}`) }
      await login(registry.credentials.password, killed)
      const child = spawn(cloudimgProgram[0]!, [...cloudimgProgram.slice(1), 'pull', image()], {
        env: cloudimgEnvironment(killed),
        stdio: 'ignore',
      })
      const ended = new Promise(resolve => child.once('exit', resolve))
      const kill = setTimeout(() => child.kill('SIGKILL'), moment)
      await ended
      clearTimeout(kill)
      expect(await cloudimgJson(['pull', image()], killed)).toMatchObject({ digest: built.index })
      expect(await storeFaults(storeOf(killed))).toEqual([])
      await rm(killed.home, { recursive: true })
    },
  )
})

describe('a pull that was killed in the middle of a blob', () => {
  it('is taken up behind the bytes that it had, by whoever pulls next', async () => {
    await using open = await startRealRegistry()
    await cloudimgJson(['push', 'local/image:1', `${open.host}/image:1`], place)
    const fault = { on: 'blob-read', what: 'stall-answer', after: 0, times: 100, at: 0.5, status: 0 } as const
    await using stalling = await startFaultProxy({ upstream: open.url, faults: [fault] })
    const half = { home: at('half') }
    const child = spawn(cloudimgProgram[0]!, [...cloudimgProgram.slice(1), 'pull', `${stalling.host}/image:1`], {
      env: cloudimgEnvironment(half),
      stdio: 'ignore',
    })
    const ended = new Promise(resolve => child.once('exit', resolve))
    const downloads = join(storeOf(half), 'downloads')
    await eventually('half of both large layers', 60_000, async () => {
      const names = await readdir(downloads).catch(() => [])
      const sizes = await Promise.all(names.map(async name => (await stat(join(downloads, name))).size))
      return sizes.filter(size => size > 2_000_000).length >= 2 ? true : undefined
    })
    child.kill('SIGKILL')
    await ended
    const pulled = await cloudimg(['pull', `${open.host}/image:1`], half)
    expect(pulled.stdout).toContain(built.index)
    expect(pulled.stderr).toMatch(/✓ pulling .*2 resumed \(/)
    expect(await storeFaults(storeOf(half))).toEqual([])
    // Drafts of small blobs are cleared when they are ten minutes old.
    expect(strayFiles(storeOf(half)).filter(path => !path.startsWith('tmp/'))).toEqual([])
  })
})

describe('a blob that rotted on the disk', () => {
  it('is not pushed, and its digest is named', async () => {
    const rotten = { home: at('rotten') }
    await cloudimgJson(['build', '-f', at('Kubefile'), '-t', 'local/image:1', at('context')], rotten)
    const layer = built.platforms[0]!.layers[0]!.digest
    const path = join(storeOf(rotten), 'blobs/sha256', layer.slice('sha256:'.length))
    await must(['sh', '-c', `printf x | dd of='${path}' bs=1 seek=4000000 conv=notrunc status=none`])
    await using server = await startCloudimgServer({ home: at('empty') }, at('rotten.log'))
    const failure = await cloudimgFailure(['push', 'local/image:1', `${server.host}/image:1`], rotten)
    expect(failure).toMatchObject({ exit: 5, code: 'DIGEST_MISMATCH' })
    expect(failure.message).toContain(layer)
    expect(await storeFaults(storeOf({ home: at('empty') }))).toEqual([])
  })
})
