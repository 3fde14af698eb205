import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isCloudimgError } from '../../src/core/error.ts'
import { parseReference } from '../../src/core/reference.ts'
import { closeConnections } from '../../src/io/http.ts'
import { copyImage } from '../../src/oci/copy.ts'
import type { ImageSource, ImageTarget } from '../../src/oci/ends.ts'
import type { Credentials } from '../../src/oci/remote/credential.ts'
import { type RemoteRepository, remoteRepository } from '../../src/oci/remote/registry.ts'
import { serveRegistry } from '../../src/oci/serve/serve.ts'
import { serveStore } from '../../src/oci/serve/store-adapter.ts'
import { usersOf } from '../../src/oci/serve/users.ts'
import { openStore, type Store } from '../../src/oci/store/store.ts'
import { makeCertificates } from '../support/certificates.ts'
import { faultRun, type FaultRun, type RegistryKind, registryKinds } from '../support/fault-plan.ts'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { memoryEnd } from '../support/memory-end.ts'
import { noise } from '../support/noise.ts'
import { startRealRegistry } from '../support/real-registry.ts'
import { jsonSample, type Sample, sample } from '../support/sample-image.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { sample as sampleOf } from '../support/soak.ts'
import { storeFaults } from '../support/store-check.ts'
import { testContext } from '../support/test-context.ts'
import { mediaTypes } from '../../src/oci/descriptor.ts'

/** A real registry as the runs need it. */
interface Upstream {
  readonly url: string
  readonly host: string
  readonly realm?: string
  readonly login: { readonly username: string; readonly password: string } | undefined
}

let scratch: Scratch
let stack: AsyncDisposableStack
let upstreams: Readonly<Record<RegistryKind, Upstream>>
let source: Store
let embeddedHome: string
let tls: { readonly cert: string; readonly key: string }

// Large enough that a resumed part is kept, small enough for hundreds of runs; of two platforms, of which one layer is shared.
const image = threeLayers()
const digest = image.index.descriptor.digest
const name = 'local/image:1'

function threeLayers(): { readonly index: Sample; readonly all: readonly Sample[] } {
  const shared = sample(noise('shared', 1_500_000))
  const images = ['amd64', 'arm64'].map(architecture => {
    const layers = [shared, sample(noise(architecture, 200_000)), sample(noise(`small ${architecture}`, 700))]
    const diffIds = layers.map(({ descriptor }) => descriptor.digest)
    const config = jsonSample(
      { os: 'linux', architecture, rootfs: { type: 'layers', diff_ids: diffIds } },
      mediaTypes.config,
    )
    const manifest = jsonSample(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        config: config.descriptor,
        layers: layers.map(({ descriptor }) => descriptor),
      },
      mediaTypes.manifest,
    )
    const entry = { ...manifest.descriptor, platform: { os: 'linux', architecture } }
    return { entry, all: [...layers, config, manifest] }
  })
  const index = jsonSample(
    { schemaVersion: 2, mediaType: mediaTypes.index, manifests: images.map(({ entry }) => entry) },
    mediaTypes.index,
  )
  return { index, all: [...images.flatMap(({ all }) => all), index] }
}

beforeAll(async () => {
  stack = new AsyncDisposableStack()
  scratch = stack.use(await makeScratch())
  source = await openStore(join(scratch.path, 'source'))
  for (const part of image.all) await source.write(part.descriptor, part.source, testContext())
  await source.tag(name, image.index.descriptor, testContext())
  const certificates = await makeCertificates(scratch.path, '127.0.0.1')
  tls = { cert: await readFile(certificates.certFile, 'utf8'), key: await readFile(certificates.keyFile, 'utf8') }
  upstreams = {
    open: await startUpstream({}),
    basic: await startUpstream({ auth: 'basic' }),
    token: await startUpstream({ auth: 'token' }),
    tls: await startUpstream({ auth: 'basic', tls: true }),
    embedded: await startEmbedded(),
  }
  for (const kind of registryKinds) await copyImage(source, name, direct(kind, 'whole'), 'v1', {}, testContext())
})
afterAll(async () => {
  await closeConnections()
  await stack.disposeAsync()
})

async function startUpstream(options: Parameters<typeof startRealRegistry>[0]): Promise<Upstream> {
  const { url, host, credentials, tokens } = stack.use(await startRealRegistry(options))
  const login = options?.auth === undefined ? undefined : { username: credentials.user, password: credentials.password }
  return { url, host, login, ...(tokens === undefined ? {} : { realm: tokens.realm }) }
}

async function startEmbedded(): Promise<Upstream> {
  embeddedHome = join(scratch.path, 'embedded')
  const login = { username: 'embedded', password: 'pass:word of serve' }
  const registry = await serveRegistry({ store: serveStore(await openStore(embeddedHome)), users: usersOf([login]) })
  stack.defer(() => registry.close())
  return { url: registry.url, host: registry.host, login }
}

function credentialsFor({ login }: Upstream): Credentials {
  return { find: async () => (login === undefined ? undefined : { kind: 'basic', ...login }) }
}

function direct(kind: RegistryKind, repository: string): RemoteRepository {
  const upstream = upstreams[kind]
  return remoteRepository(parseReference(`${upstream.host}/${repository}`), { credentials: credentialsFor(upstream) })
}

// Patience is short, as the runs are many: what gives up here would try longer in earnest.
const hasty = { stallMs: 1000, retry: { attempts: 4, delayMs: 5, maxDelayMs: 50 } }

interface Ends {
  readonly from: ImageSource
  readonly fromName: string
  readonly to: ImageTarget
  readonly toName: string
}

function endsOf(run: FaultRun, faulty: (repository: string) => RemoteRepository, own: Store): Ends {
  const target = `run-${run.number}`
  switch (run.operation) {
    case 'pull':
      return { from: faulty('whole'), fromName: 'v1', to: own, toName: name }
    case 'push':
      return { from: source, fromName: name, to: faulty(target), toName: 'v1' }
    case 'copy': {
      // Within one registry blobs are mounted; from another one they are carried.
      const from = run.number % 2 === 0 ? faulty('whole') : direct('open', 'whole')
      return { from, fromName: 'v1', to: faulty(target), toName: 'v1' }
    }
  }
}

/** What the run's target says the name stands for, everything below it read and hashed. */
async function digestAt(run: FaultRun, own: Store): Promise<string | undefined> {
  const at = run.operation === 'pull' ? own : direct(run.registry, `run-${run.number}`)
  const called = run.operation === 'pull' ? name : 'v1'
  if ((await at.resolve(called, testContext())) === undefined) return undefined
  return (await copyImage(at, called, memoryEnd(), undefined, {}, testContext())).digest
}

const clearCodes = [
  'NETWORK',
  'REGISTRY_ERROR',
  'REGISTRY_AUTH',
  'REGISTRY_DENIED',
  'DIGEST_MISMATCH',
  'SIZE_MISMATCH',
  'IMAGE_INVALID',
]

const outcomes = { done: 0, failed: new Map<string, number>(), hits: 0 }

/** The digest that the target's name stands for in the end. */
async function play(run: FaultRun): Promise<string | undefined> {
  const upstream = upstreams[run.registry]
  const ctx = testContext()
  await using proxy = await startFaultProxy({
    upstream: upstream.url,
    faults: run.faults,
    ...(upstream.realm === undefined ? {} : { realm: upstream.realm }),
    ...(run.registry === 'tls' ? { tls } : {}),
    ownName: run.registry === 'embedded',
  })
  const credentials = credentialsFor(upstream)
  const faulty = (repository: string): RemoteRepository =>
    remoteRepository(parseReference(`${proxy.host}/${repository}`), { credentials, ...hasty })
  const home = join(scratch.path, `run-${run.number}`)
  const own = await openStore(home)
  const { from, fromName, to, toName } = endsOf(run, faulty, own)
  const error = await inTime(attempt(copyImage(from, fromName, to, toName, {}, ctx)))
  outcomes.hits += proxy.hits.length
  if (error === undefined) outcomes.done++
  else expectClear(error, proxy)
  expectNoLeak(proxy, ctx.seen, error, upstream)
  const found = await digestAt(run, own)
  expect(found === undefined ? error !== undefined : found === digest, `the name stands for ${found}`).toBe(true)
  expect(await storeFaults(home)).toEqual([])
  // What failed is completed by the same command.
  const steady = endsOf(run, repository => direct(run.registry, repository), await openStore(home))
  await inTime(copyImage(steady.from, steady.fromName, steady.to, steady.toName, {}, testContext()))
  const completed = await digestAt(run, own)
  expect(await storeFaults(home)).toEqual([])
  await rm(home, { recursive: true })
  return completed
}

/** What a copy threw; it must not end with anything but the image. */
async function attempt(copying: Promise<{ readonly digest: string }>): Promise<unknown> {
  let copied: string
  try {
    copied = (await copying).digest
  } catch (error) {
    return error
  }
  expect(copied).toBe(digest)
  return undefined
}

function expectClear(error: unknown, proxy: FaultProxy): void {
  if (!isCloudimgError(error) || !clearCodes.includes(error.code)) throw error
  const why = `${error.code}: ${error.message}`
  expect(why).toMatch(/sha256:|127\.0\.0\.1/)
  expect(why).not.toMatch(/undefined|\[object|NaN/)
  expect(proxy.hits.length, `no fault was met, and still ${why}`).toBeGreaterThan(0)
  outcomes.failed.set(error.code, (outcomes.failed.get(error.code) ?? 0) + 1)
}

function expectNoLeak(proxy: FaultProxy, events: readonly object[], error: unknown, { login }: Upstream): void {
  for (const { headers } of proxy.elsewhere)
    for (const secret of ['authorization', 'cookie', 'proxy-authorization']) expect(headers).not.toHaveProperty(secret)
  if (login === undefined) return
  const said = JSON.stringify([events, proxy.elsewhere, isCloudimgError(error) ? [error.message, error.data] : []])
  const basic = Buffer.from(`${login.username}:${login.password}`).toString('base64')
  for (const secret of [login.password, basic, 'Bearer ']) expect(said).not.toContain(secret)
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('it hangs: nothing for two minutes')), 120_000)
  })
  return await Promise.race([work, late]).finally(() => clearTimeout(timer))
}

describe('a registry that cannot be relied upon', () => {
  const runs = sampleOf(
    'transport faults',
    Array.from({ length: 500 }, (_, i) => faultRun(i + 1)),
    25,
  )

  it.each(runs.map(run => [run.number, run.operation, run.registry, describeFaults(run), run] as const))(
    'run %i: %s, %s: %s',
    async (_number, _operation, _registry, _faults, run) => {
      expect(await play(run)).toBe(digest)
    },
  )

  it('ends in the right image often enough, and has harmed no store', async () => {
    const failed = [...outcomes.failed].map(([code, count]) => `${code} ${count}`).join(', ')
    console.log(
      `transport faults: ${runs.length} runs, ${outcomes.hits} faults met, ${outcomes.done} completed at once; failed clearly: ${failed}`,
    )
    // Of all 500 more than half are completed at once; a sample of twenty may have bad luck, and one of two says nothing.
    const least = runs.length < 10 ? -1 : runs.length / 5
    expect(outcomes.hits).toBeGreaterThan(least)
    expect(outcomes.done).toBeGreaterThan(least)
    expect(await storeFaults(embeddedHome)).toEqual([])
  })
})

function describeFaults({ faults }: FaultRun): string {
  return faults.map(({ on, what, times, at }) => `${on} ${what} ×${times} at ${at.toFixed(3)}`).join(', ')
}
