import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Context } from '../../src/core/context.ts'
import { type Digest, digestOf, hexOf } from '../../src/core/digest.ts'
import { hostPlatform } from '../../src/core/platform.ts'
import { openArchive } from '../../src/oci/archive/open-archive.ts'
import { copyImage } from '../../src/oci/copy.ts'
import { type Descriptor, mediaTypes } from '../../src/oci/descriptor.ts'
import { imageFor, listManifests } from '../../src/oci/document.ts'
import { openStore, type Store } from '../../src/oci/store/store.ts'
import { unpackLayers } from '../../src/oci/unpack.ts'
import { cloudimg, cloudimgFailure, storeOf } from '../support/cloudimg.ts'
import { rawEntry, rawTar } from '../support/raw-tar.ts'
import { jsonSample, sample, type Sample, sampleImage } from '../support/sample-image.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { type Answer, plain, repositoryAt, scriptedRegistry } from '../support/scripted-registry.ts'
import { testContext } from '../support/test-context.ts'

let scratch: Scratch
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const { arch } = hostPlatform()
const image = sampleImage(arch)

beforeAll(async () => {
  scratch = await makeScratch()
})
afterAll(async () => {
  await scratch[Symbol.asyncDispose]()
})

/** Documents that mean no good: `root` is what a name stands for, `bytes` what a place gives for each digest. */
interface HostileImage {
  readonly root: Descriptor
  readonly bytes: ReadonlyMap<Digest, Buffer>
  readonly code: string
  readonly why: RegExp
  /** Taken as bytes that nobody looks at; refused when the image is used. */
  readonly onUse?: true
  /** A client that asks for so many bytes gets just these: the right ones. */
  readonly isCutByPull?: true
}

const indexOf = (manifests: readonly object[], more: object = {}): Sample =>
  jsonSample({ schemaVersion: 2, mediaType: mediaTypes.index, manifests, ...more }, mediaTypes.index)
const manifestOf = (body: object): Sample =>
  jsonSample(
    { schemaVersion: 2, mediaType: mediaTypes.manifest, config: image.config.descriptor, layers: [], ...body },
    mediaTypes.manifest,
  )
const configOf = (body: object): Sample =>
  jsonSample(
    { os: 'linux', architecture: arch, rootfs: { type: 'layers', diff_ids: [image.layer.descriptor.digest] }, ...body },
    mediaTypes.config,
  )

function hostile(root: Sample, code: string, why: RegExp, ...others: readonly Sample[]): HostileImage {
  const bytes = new Map([...image.all, ...others, root].map(one => [one.descriptor.digest, one.bytes] as const))
  return { root: root.descriptor, bytes, code, why }
}

/** The image with a part that is not what its descriptor says. */
function lying(part: Sample, bytes: Buffer, code: string, why: RegExp): HostileImage {
  const one = hostile(image.manifest, code, why)
  return { ...one, bytes: new Map([...one.bytes, [part.descriptor.digest, bytes]]) }
}

function withConfig(config: Sample, code: string, why: RegExp): HostileImage {
  const manifest = manifestOf({ config: config.descriptor, layers: [image.layer.descriptor] })
  return { ...hostile(manifest, code, why, config), onUse: true }
}

function nested(depth: number): readonly Sample[] {
  const all: Sample[] = [indexOf([image.manifest.descriptor])]
  while (all.length < depth) all.push(indexOf([all.at(-1)!.descriptor]))
  return all
}

/** Each level names the one below many times: next to nothing in bytes, a billion documents for who follows them all. */
function multiplying(): readonly Sample[] {
  const all: Sample[] = [image.manifest]
  for (let level = 0; level < 3; level++) all.push(indexOf(Array.from({ length: 1000 }, () => all.at(-1)!.descriptor)))
  return all.slice(1)
}

const deep = nested(6)
const many = multiplying()
const layer = image.layer.descriptor
const noise = (bytes: number): string => 'x'.repeat(bytes)
const manifestText = (text: string): Sample => sample(text, mediaTypes.manifest)

const cases: Readonly<Record<string, HostileImage>> = {
  'indexes deeper than 4': hostile(deep.at(-1)!, 'IMAGE_INVALID', /deeper than 4/, ...deep),
  'indexes that multiply (a billion manifests)': hostile(many.at(-1)!, 'IMAGE_INVALID', /more than 10000/, ...many),
  'an index of 1001 entries': hostile(
    indexOf(Array.from({ length: 1001 }, () => image.manifest.descriptor)),
    'IMAGE_INVALID',
    /manifests/,
  ),
  'a manifest of 10001 layers': hostile(
    manifestOf({ layers: Array.from({ length: 10_001 }, () => layer) }),
    'IMAGE_INVALID',
    /layers/,
  ),
  'a manifest of 5 MiB': hostile(
    manifestOf({ annotations: { a: noise(5 * 1024 * 1024) } }),
    'IMAGE_INVALID',
    /at most/,
  ),
  'manifests of 80 MiB together': hostile(
    indexOf(
      Array.from({ length: 20 }, (_, i) => ({
        ...layer,
        mediaType: mediaTypes.manifest,
        digest: digestOf(String(i)),
        size: 4 * 1024 * 1024,
      })),
    ),
    'IMAGE_INVALID',
    /67108864 bytes/,
    ...Array.from({ length: 20 }, (_, i) => ({
      descriptor: { ...layer, digest: digestOf(String(i)) },
      bytes: Buffer.from('x'),
      source: image.layer.source,
    })),
  ),
  'GHSA-77vh-xpmg-72qh: a manifest that is an index, too': hostile(
    manifestOf({ manifests: [image.manifest.descriptor] }),
    'IMAGE_INVALID',
    /an index, too/,
  ),
  'CVE-2021-41190: an index that is a manifest, too': hostile(
    indexOf([image.manifest.descriptor], { config: image.config.descriptor, layers: [] }),
    'IMAGE_INVALID',
    /a manifest, too/,
  ),
  'a manifest with the media type of an index': hostile(
    manifestOf({ mediaType: mediaTypes.index }),
    'IMAGE_INVALID',
    /mediaType/,
  ),
  'an index that names itself a layer': hostile(
    indexOf([], { mediaType: mediaTypes.layer }),
    'IMAGE_INVALID',
    /mediaType/,
  ),
  'a digest that is a path': hostile(
    manifestOf({ layers: [{ ...layer, digest: 'sha256:../../outside/secret' }] }),
    'IMAGE_INVALID',
    /digest/,
  ),
  'a digest in capitals': hostile(
    manifestOf({ layers: [{ ...layer, digest: layer.digest.toUpperCase() }] }),
    'IMAGE_INVALID',
    /digest/,
  ),
  'a digest of no algorithm of ours': hostile(
    manifestOf({ layers: [{ ...layer, digest: `md5:${'0'.repeat(32)}` }] }),
    'IMAGE_INVALID',
    /digest/,
  ),
  'a digest that is too short': hostile(
    manifestOf({ layers: [{ ...layer, digest: 'sha256:00' }] }),
    'IMAGE_INVALID',
    /digest/,
  ),
  'a negative size': hostile(manifestOf({ layers: [{ ...layer, size: -1 }] }), 'IMAGE_INVALID', /size/),
  'a size with a point': hostile(manifestOf({ layers: [{ ...layer, size: 1.5 }] }), 'IMAGE_INVALID', /size/),
  'a size beyond 2^53': hostile(manifestOf({ layers: [{ ...layer, size: 2 ** 60 }] }), 'IMAGE_INVALID', /size/),
  'a size that is text': hostile(manifestOf({ layers: [{ ...layer, size: '5' }] }), 'IMAGE_INVALID', /size/),
  'no layers at all, but a number': hostile(manifestOf({ layers: 5 }), 'IMAGE_INVALID', /layers/),
  'a manifest that is no JSON': hostile(manifestText('{"schemaVersion":2,'), 'IMAGE_INVALID', /not JSON/),
  'a manifest that is not UTF-8': hostile(
    sample(Buffer.from([0x22, 0xff, 0x22]), mediaTypes.manifest),
    'IMAGE_INVALID',
    /not JSON/,
  ),
  'a million brackets': hostile(manifestText('['.repeat(1_000_000)), 'IMAGE_INVALID', /manifest/),
  'a million closed brackets': hostile(
    manifestText(`${'['.repeat(500_000)}${']'.repeat(500_000)}`),
    'IMAGE_INVALID',
    /manifest/,
  ),
  'schemaVersion 1': hostile(manifestOf({ schemaVersion: 1 }), 'IMAGE_INVALID', /schemaVersion/),
  'a document of no kind that we know': hostile(
    sample('{}', 'application/vnd.docker.distribution.manifest.v1+json'),
    // An archive has it, but not as an image.
    'IMAGE_NOT_FOUND',
    /no such image/,
  ),
  'a layer with other bytes': lying(
    image.layer,
    Buffer.alloc(image.layer.bytes.length),
    'DIGEST_MISMATCH',
    /wanted sha256:.*found sha256:/,
  ),
  'a layer with a byte more': {
    ...lying(image.layer, Buffer.concat([image.layer.bytes, Buffer.from('x')]), 'SIZE_MISMATCH', /wanted \d+ bytes/),
    isCutByPull: true,
  },
  'a layer with a byte less': lying(image.layer, image.layer.bytes.subarray(1), 'DIGEST_MISMATCH', /wanted sha256:/),
  'a config with other bytes': lying(
    image.config,
    Buffer.alloc(image.config.bytes.length, ' '),
    'DIGEST_MISMATCH',
    /wanted sha256:/,
  ),
  'a manifest with other bytes': lying(
    image.manifest,
    Buffer.alloc(image.manifest.bytes.length, ' '),
    'DIGEST_MISMATCH',
    /wanted sha256:/,
  ),
  'a layer of another size than the manifest says': hostile(
    manifestOf({ layers: [{ ...layer, size: layer.size + 1 }] }),
    'SIZE_MISMATCH',
    /wanted \d+ bytes/,
  ),
  'a config of 9 MiB': withConfig(configOf({ author: noise(9 * 1024 * 1024) }), 'IMAGE_INVALID', /at most/),
  'diff_ids that are another layer’s': withConfig(
    configOf({ rootfs: { type: 'layers', diff_ids: [digestOf('else')] } }),
    'DIGEST_MISMATCH',
    /wanted diff_id/,
  ),
  'fewer diff_ids than layers': withConfig(
    configOf({ rootfs: { type: 'layers', diff_ids: [] } }),
    'IMAGE_INVALID',
    /1 of them, but 0 diff_ids/,
  ),
  'a config that is no config': withConfig(configOf({ rootfs: { type: 'other' } }), 'IMAGE_INVALID', /rootfs/),
}

let serial = 0
async function emptyStore(): Promise<Store> {
  return await openStore(at(`store-${++serial}`))
}

async function expectRefusal(store: Store, work: () => Promise<unknown>, { code, why }: HostileImage): Promise<void> {
  const error = await work().then(
    () => undefined,
    (thrown: unknown) => thrown as Error & { code?: string },
  )
  expect(error).toMatchObject({ name: 'CloudimgError', code, message: expect.stringMatching(why) as string })
  expect(await store.refs()).toEqual([])
  expect(await readdir(store.layout.temporary)).toEqual([])
}

/** What a user does with an image once it is here. */
async function use(store: Store, name: string, ctx: Context): Promise<void> {
  const { manifest, config } = await imageFor(store, (await store.resolve(name, ctx))!, hostPlatform(), ctx)
  await unpackLayers(store, manifest.layers, at(`tree-${serial}`), ctx, config.rootfs.diff_ids)
}

async function refusedOnUse(store: Store, one: HostileImage, ctx: Context): Promise<void> {
  await expect(use(store, 'local/hostile:1', ctx)).rejects.toMatchObject({
    code: one.code,
    message: expect.stringMatching(one.why) as string,
  })
  expect(await readdir(scratch.path)).not.toContain(`tree-${serial}`)
}

describe('load of', () => {
  it.each(Object.entries(cases))('%s', async (_, one) => {
    const ctx = testContext()
    const store = await emptyStore()
    const annotations = { 'io.containerd.image.name': 'docker.io/local/hostile:1' }
    const index = { schemaVersion: 2, manifests: [{ ...one.root, annotations }] }
    const parts = [...one.bytes].map(([digest, bytes]) => rawEntry({ name: `blobs/sha256/${hexOf(digest)}` }, bytes))
    const head = [
      rawEntry({ name: 'oci-layout' }, '{"imageLayoutVersion":"1.0.0"}'),
      rawEntry({ name: 'index.json' }, JSON.stringify(index)),
    ]
    const path = at(`archive-${serial}.tar`)
    await writeFile(path, rawTar(...head, ...parts))
    const load = async (): Promise<void> => {
      const archive = await openArchive(path, {}, ctx)
      try {
        await copyImage(archive, 'docker.io/local/hostile:1', store, 'local/hostile:1', {}, ctx)
      } finally {
        await archive.close()
      }
    }
    if (one.onUse !== true) return expectRefusal(store, load, one)
    await load()
    await refusedOnUse(store, one, ctx)
  })
})

describe('pull from a registry that gives', () => {
  it.each(Object.entries(cases))('%s', async (_, one) => {
    const ctx = testContext()
    const store = await emptyStore()
    const answers: Record<string, Answer> = {}
    for (const [digest, bytes] of one.bytes) {
      const { mediaType } = one.root
      const headers = { 'content-type': mediaType, 'docker-content-digest': digest }
      for (const method of ['GET', 'HEAD']) {
        answers[`${method} /v2/r/x/blobs/${digest}`] = plain(200, bytes)
        answers[`${method} /v2/r/x/manifests/${digest}`] = (request, response, server) =>
          plain(200, bytes, { ...headers, 'content-type': typeOf(bytes) ?? mediaType })(request, response, server)
        if (digest === one.root.digest) answers[`${method} /v2/r/x/manifests/v1`] = plain(200, bytes, headers)
      }
    }
    answers['GET /v2/r/x/referrers/'] = plain(200, JSON.stringify({ schemaVersion: 2, manifests: [] }), {
      'content-type': mediaTypes.index,
    })
    const server = await scriptedRegistry(answers)
    try {
      const pull = (): Promise<unknown> => copyImage(repositoryAt(server), 'v1', store, 'local/hostile:1', {}, ctx)
      if (one.onUse === true) {
        await pull()
        await refusedOnUse(store, one, ctx)
      } else if (one.isCutByPull === true) {
        await pull()
        await use(store, 'local/hostile:1', ctx)
      } else await expectPullRefusal(store, pull, one)
    } finally {
      await server.close()
    }
  })
})

/** A registry's answer may be refused before its bytes are looked at: by length, digest or type. */
async function expectPullRefusal(store: Store, pull: () => Promise<unknown>, one: HostileImage): Promise<void> {
  const error = await pull().then(
    () => undefined,
    (thrown: unknown) => thrown as Error & { code?: string },
  )
  expect(error).toMatchObject({ name: 'CloudimgError' })
  expect([one.code, 'DIGEST_MISMATCH', 'SIZE_MISMATCH', 'IMAGE_INVALID', 'REGISTRY_ERROR', 'NETWORK']).toContain(
    error?.code,
  )
  expect(await store.refs()).toEqual([])
  expect(await readdir(store.layout.temporary)).toEqual([])
}

function typeOf(bytes: Buffer): string | undefined {
  try {
    return (JSON.parse(bytes.toString('utf8')) as { mediaType?: string }).mediaType
  } catch {
    return undefined
  }
}

describe('looking at an image', () => {
  it.each(['indexes deeper than 4', 'indexes that multiply (a billion manifests)'])(
    'counts what it follows: %s',
    async name => {
      const one = cases[name]!
      const store = await emptyStore()
      for (const bytes of one.bytes.values()) await store.put(bytes, 'x')
      await expect(listManifests(store, one.root, testContext())).rejects.toMatchObject({ code: one.code })
    },
  )
})

describe('load of an archive', () => {
  const good = rawEntry({ name: 'oci-layout' }, '{"imageLayoutVersion":"1.0.0"}')
  const index = rawEntry({ name: 'index.json' }, JSON.stringify({ schemaVersion: 2, manifests: [] }))
  const docker = (list: unknown): Buffer => rawEntry({ name: 'manifest.json' }, JSON.stringify(list))

  it.each<readonly [string, readonly Buffer[], string, RegExp]>([
    [
      'with a path that leads outside',
      [good, index, rawEntry({ name: '../outside' }, 'x')],
      'UNSAFE_ARCHIVE',
      /leads outside/,
    ],
    ['with two index.json', [good, index, index], 'UNSAFE_ARCHIVE', /in it twice/],
    [
      'whose index.json is a link out of it',
      [good, rawEntry({ name: 'index.json', type: '2', link: '../../etc/passwd' })],
      'ARCHIVE_INVALID',
      /neither/,
    ],
    [
      'whose index.json is a link to itself',
      [good, rawEntry({ name: 'index.json', type: '2', link: 'index.json' })],
      'ARCHIVE_INVALID',
      /neither/,
    ],
    [
      'with an index.json of 5 MiB',
      [good, rawEntry({ name: 'index.json' }, noise(5 * 1024 * 1024))],
      'ARCHIVE_INVALID',
      /at most/,
    ],
    [
      'of docker, whose layer lies outside',
      [docker([{ Config: '/etc/passwd', RepoTags: null, Layers: ['../../etc/shadow'] }])],
      'ARCHIVE_INVALID',
      /"\/etc\/passwd" is missing/,
    ],
    ['of docker, with a list that is none', [docker({})], 'ARCHIVE_INVALID', /no list/],
  ])('%s', async (_, parts, code, why) => {
    const path = at(`outer-${++serial}.tar`)
    await writeFile(path, rawTar(...parts))
    const failure = await cloudimgFailure(['load', '-i', path], { home: at(`home-${serial}`) })
    expect(failure).toMatchObject({ code })
    expect(failure.message).toMatch(why)
    expect(await readdir(join(storeOf({ home: at(`home-${serial}`) }), 'tmp'))).toEqual([])
  })

  it.each(['../../../outside:1', 'x/../../../outside:1', 'a/_tags/x:1', '/etc/passwd', 'UPPER:1'])(
    'that calls an image %s',
    async name => {
      const home = at(`home-${++serial}`)
      const path = at(`named-${serial}.tar`)
      const parts = image.all.map(({ descriptor, bytes }) =>
        rawEntry({ name: `blobs/sha256/${hexOf(descriptor.digest)}` }, bytes),
      )
      const entries = [{ ...image.manifest.descriptor, annotations: { 'io.containerd.image.name': name } }]
      await writeFile(
        path,
        rawTar(
          good,
          rawEntry({ name: 'index.json' }, JSON.stringify({ schemaVersion: 2, manifests: entries })),
          ...parts,
        ),
      )
      const { stdout, code } = await cloudimg(['load', '-i', path, '--json'], { home })
      // It gets no name at all.
      expect(code).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({ loaded: [{ name: image.manifest.descriptor.digest }] })
      expect(await readdir(join(storeOf({ home }), 'refs'), { recursive: true })).toEqual([])
      expect(await readdir(scratch.path)).not.toContain('outside')
    },
  )
})
