import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openLock } from '../../src/artifact/lock-view.ts'
import { openBaseImages } from '../../src/build/base-images.ts'
import { treeSource } from '../../src/build/copy-source.ts'
import type { BuildTree, TreeFile } from '../../src/build/tree.ts'
import { unpackArchive } from '../../src/build/unpack-archive.ts'
import { MiB } from '../../src/core/bytes.ts'
import type { Context } from '../../src/core/context.ts'
import { digestOf } from '../../src/core/digest.ts'
import { hostPlatform } from '../../src/core/platform.ts'
import { openArchive } from '../../src/oci/archive/open-archive.ts'
import { mediaTypes } from '../../src/oci/descriptor.ts'
import { imageFor } from '../../src/oci/document.ts'
import { openStore, type Store } from '../../src/oci/store/store.ts'
import { unpackLayers } from '../../src/oci/unpack.ts'
import { cloudimg, cloudimgFailure, cloudimgJson, type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { startCloudimgServer } from '../support/cloudimg-server.ts'
import { must } from '../support/command.ts'
import { type HostileTar, hostileTars } from '../support/hostile-tars.ts'
import { rawEntry, rawHeader, rawTar } from '../support/raw-tar.ts'
import { jsonSample, sample, type Sample } from '../support/sample-image.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { storeFaults } from '../support/store-check.ts'
import { testContext } from '../support/test-context.ts'
import { listTree, type TreeListing, treeDifferences } from '../support/tree-listing.ts'

// The scratch is known only later, and the names of tests before: this stands for it.
const outsidePlace = '/var/tmp/cloudimg-hostile-outside'
const tars = hostileTars(outsidePlace)
const { arch } = hostPlatform()

let scratch: Scratch
let store: Store
const at = (...parts: string[]): string => join(scratch.path, ...parts)
let before: TreeListing

beforeAll(async () => {
  scratch = await makeScratch()
  await must(['chmod', '755', scratch.path])
  await mkdir(at('work/outside'), { recursive: true })
  for (const folder of [at('work/outside'), at('outside'), outsidePlace]) {
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'secret'), 'untouched')
  }
  store = await openStore(at('store'))
  before = everythingElse()
})
afterAll(async () => {
  await must(['rm', '-rf', outsidePlace])
  await scratch[Symbol.asyncDispose]()
})

/** All that an archive might reach: what lies beside the target, and the place that absolute paths name. */
function everythingElse(): TreeListing {
  return new Map([
    ...[...listTree(at('work'))].map(([path, entry]) => [`work/${path}`, entry] as const),
    ...[...listTree(at('outside'))].map(([path, entry]) => [`outside/${path}`, entry] as const),
    ...[...listTree(outsidePlace)].map(([path, entry]) => [`${outsidePlace}/${path}`, entry] as const),
  ])
}

type Packing = 'plain' | 'gzip' | 'zstd'
const packings: Readonly<Record<Packing, { readonly mediaType: string; readonly pack: (bytes: Buffer) => Buffer }>> = {
  plain: { mediaType: mediaTypes.layer, pack: bytes => bytes },
  gzip: { mediaType: mediaTypes.layerGzip, pack: bytes => gzipSync(bytes) },
  zstd: { mediaType: mediaTypes.layerZstd, pack: bytes => zstdCompressSync(bytes) },
}

/** An image for this machine with these tars as layers. */
function imageOf(
  layers: readonly Sample[],
  diffIds: readonly string[],
): { readonly manifest: Sample; readonly all: readonly Sample[] } {
  const config = jsonSample(
    { os: 'linux', architecture: arch, rootfs: { type: 'layers', diff_ids: diffIds } },
    mediaTypes.config,
  )
  const body = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: config.descriptor,
    layers: layers.map(layer => layer.descriptor),
  }
  const manifest = jsonSample(body, mediaTypes.manifest)
  return { manifest, all: [...layers, config, manifest] }
}

function hostileImage(tar: Buffer, packing: Packing): ReturnType<typeof imageOf> {
  const { mediaType, pack } = packings[packing]
  return imageOf([sample(pack(tar), mediaType)], [digestOf(tar)])
}

let serial = 0

/** Into the store by the front door, under a name. */
async function stored({ manifest, all }: ReturnType<typeof imageOf>): Promise<string> {
  const name = `local/hostile:${++serial}`
  const ctx = testContext()
  for (const { descriptor, source } of all) await store.write(descriptor, source, ctx)
  await store.tag(name, manifest.descriptor, ctx)
  return name
}

/** Each way gives the paths of what came out, as HostileTar says them. */
const roads: Readonly<Record<string, (tar: Buffer, packing: Packing, ctx: Context) => Promise<readonly string[]>>> = {
  unpack: async (tar, packing, ctx) => {
    const name = await stored(hostileImage(tar, packing))
    const image = await imageFor(store, (await store.resolve(name, ctx))!, hostPlatform(), ctx)
    const target = at('work', `target-${serial}`)
    try {
      await unpackLayers(store, image.manifest.layers, target, ctx, image.config.rootfs.diff_ids)
      return [...listTree(target)].map(([path, { type, linkTarget }]) =>
        type === 'directory' ? `${path}/` : type === 'symlink' ? `${path} -> ${linkTarget}` : path,
      )
    } finally {
      await must(['rm', '-rf', target])
    }
  },
  'COPY --from': async (tar, packing, ctx) => {
    const name = await stored(hostileImage(tar, packing))
    const images = openBaseImages({
      store,
      lock: openLock({ entries: [] }),
      offline: true,
      pull: false,
      openRepository: () => {
        throw new Error('nobody is to be asked')
      },
    })
    return pathsOf(await (await images.open({ image: name, platform: hostPlatform() }, ctx)).tree())
  },
  'ADD --unpack': async (tar, packing, ctx) => {
    const bytes = packings[packing].pack(tar)
    const file: TreeFile = {
      type: 'file',
      path: 'x.tar',
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: bytes.length,
      content: { from: 'memory', bytes },
    }
    const tree = await unpackArchive(store, file, 'x.tar', ctx)
    if (tree === undefined) return ['a plain file']
    return pathsOf(tree)
  },
}

function pathsOf(tree: BuildTree): readonly string[] {
  return [...treeSource(tree, 'x').walk('')].map(entry =>
    entry.type === 'directory'
      ? `${entry.path}/`
      : entry.type === 'symlink'
        ? `${entry.path} -> ${entry.linkTarget}`
        : entry.path,
  )
}

/** What is no tar by its first block is copied as it is. `ADD` takes no name that means deletion in layers, whatever else is wrong with it. */
function expectedOn(road: string, hostile: HostileTar): HostileTar {
  if (road !== 'ADD --unpack') return hostile
  if (hostile.name === 'a wrong checksum') return { name: hostile.name, tar: hostile.tar, unpacks: ['a plain file'] }
  if (!hostile.tar.includes('.wh.')) return hostile
  return { name: hostile.name, tar: hostile.tar, refused: 'IMAGE_INVALID', why: /\.wh\./ }
}

describe.each(Object.keys(roads))('%s of a hostile tar', road => {
  const cases = tars.map((hostile, i) => [hostile.name, hostile, (['plain', 'gzip', 'zstd'] as const)[i % 3]!] as const)

  it.each(cases)('%s', async (_, hostile, packing) => {
    const ctx = testContext()
    const { refused, why, unpacks } = expectedOn(road, hostile)
    const outcome = await roads[road]!(hostile.tar, packing, ctx).catch(
      (error: unknown) => error as Error & { code?: string },
    )
    expect(treeDifferences(before, everythingElse())).toEqual([])
    if (refused === undefined) {
      expect(outcome).toEqual(
        [...(unpacks ?? [])].sort((a, b) => Buffer.compare(Buffer.from(keyOf(a)), Buffer.from(keyOf(b)))),
      )
      return
    }
    expect(outcome).toBeInstanceOf(Error)
    expect((outcome as { code?: string }).code).toMatch(
      road === 'ADD --unpack' && refused === 'IMAGE_INVALID' ? /INVALID$/ : refused,
    )
    expect((outcome as Error).message).toMatch(why!)
  })
})

/** Parents come before children, and a link stands where its name does. */
function keyOf(path: string): string {
  return path.replace(/ -> .*$/s, '').replace(/\/$/, '')
}

describe('a bomb', () => {
  /** 400 MiB of zeros in a tar, as members or frames of 16 MiB each. */
  function bomb(pack: (bytes: Buffer) => Buffer): Buffer {
    const zeros = pack(Buffer.alloc(16 * MiB))
    const head = rawHeader({ name: 'zeros', size: 400 * MiB })
    return Buffer.concat([pack(head), ...Array.from({ length: 25 }, () => zeros), pack(Buffer.alloc(1024))])
  }

  it.each([
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
  ] as const)('of %s is told from its first bytes too many, on every way', async (packing, pack) => {
    const bytes = bomb(pack)
    const ctx = testContext()
    const image = imageOf([sample(bytes, packings[packing].mediaType)], [digestOf('whatever')])
    const name = await stored(image)
    const manifest = await imageFor(store, (await store.resolve(name, ctx))!, hostPlatform(), ctx)
    const refusal = { code: 'UNSAFE_ARCHIVE', message: expect.stringMatching(/unpack/) as string }
    const target = at('work/bombed')
    await expect(unpackLayers(store, manifest.manifest.layers, target, ctx)).rejects.toMatchObject(refusal)
    const content = { from: 'memory', bytes } as const
    const file: TreeFile = { type: 'file', path: 'x', mode: 0o644, uid: 0, gid: 0, size: bytes.length, content }
    await expect(unpackArchive(store, file, 'x', ctx)).rejects.toMatchObject(refusal)
    await writeFile(at('bomb.tar'), bytes)
    await expect(openArchive(at('bomb.tar'), { temporary: store.layout.temporary }, ctx)).rejects.toMatchObject(refusal)
    expect(await readdir(store.layout.temporary)).toEqual([])
    expect(treeDifferences(before, everythingElse())).toEqual([])
  })
})

describe('every way, as a user goes it', () => {
  const evil = rawTar(rawEntry({ name: 'good' }, 'x'), rawEntry({ name: '../outside/secret' }, 'evil'))
  const place = (): CloudimgPlace => ({ home: at('home') })
  const { mediaType, pack } = packings.gzip

  it('load and pull take the bytes, unpack, COPY --from and ADD --unpack refuse them, and nothing is left', async () => {
    const image = imageOf([sample(pack(evil), mediaType)], [digestOf(evil)])
    const blobs = image.all.map(({ descriptor, bytes }) =>
      rawEntry({ name: `blobs/${descriptor.digest.replace(':', '/')}` }, bytes),
    )
    const annotations = { 'io.containerd.image.name': 'docker.io/library/evil:1' }
    const index = { schemaVersion: 2, manifests: [{ ...image.manifest.descriptor, annotations }] }
    const layout = [
      rawEntry({ name: 'oci-layout' }, '{"imageLayoutVersion":"1.0.0"}'),
      rawEntry({ name: 'index.json' }, JSON.stringify(index)),
    ]
    await mkdir(at('context'), { recursive: true })
    await writeFile(at('evil-image.tar'), rawTar(...layout, ...blobs))
    await writeFile(at('context/evil.tgz'), pack(evil))
    await cloudimgJson(['load', '-i', at('evil-image.tar')], place())
    await using server = await startCloudimgServer(place(), at('serve.log'))
    await cloudimgJson(['push', 'evil:1', `${server.host}/evil:1`], place())
    const other = { home: at('other') }
    await cloudimgJson(['pull', `${server.host}/evil:1`], other)
    const refused = {
      exit: 1,
      code: 'UNSAFE_ARCHIVE',
      message: expect.stringContaining('"../outside/secret" leads outside') as string,
    }
    expect(await cloudimgFailure(['unpack', 'evil:1', at('work/target')], place())).toMatchObject(refused)
    expect(await cloudimgFailure(['unpack', `${server.host}/evil:1`, at('work/target')], other)).toMatchObject(refused)
    for (const line of ['ADD --unpack=true evil.tgz /x/', `COPY --from=evil:1 / /x/`, 'COPY --from=evil:1 /good /x/']) {
      await writeFile(at('Kubefile'), `FROM scratch\n${line}\n`)
      const { code, stderr } = await cloudimg(['build', '-f', at('Kubefile'), '-t', 'x:1', at('context')], place())
      expect(code).not.toBe(0)
      expect(stderr).toContain('"../outside/secret" leads outside')
    }
    expect(treeDifferences(before, everythingElse())).toEqual([])
    for (const one of [place(), other]) expect(await storeFaults(storeOf(one))).toEqual([])
  })

  it('without root devices are left out, and a warning says so', async () => {
    const devices = tars.find(({ name }) => name.startsWith('devices'))!
    const name = await stored(hostileImage(devices.tar, 'plain'))
    await must(['chmod', '-R', 'a+rX', at('store')])
    await mkdir(at('nobody'))
    await must(['chown', '65534', at('nobody')])
    const { code, stderr } = await cloudimg(['unpack', name, at('nobody/tree')], {
      home: at('nobody-home'),
      env: { CLOUDIMG_HOME: at('store') },
      through: ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'],
    })
    expect(stderr).toContain('devices need root, left out')
    expect(code).toBe(0)
    expect(await readdir(at('nobody/tree'))).toEqual(['pipe'])
  })
})
