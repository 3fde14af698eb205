import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Digest } from '../../../src/core/digest.ts'
import { hexOf } from '../../../src/core/digest.ts'
import { ownIdentity } from '../../../src/io/process-identity.ts'
import { mediaTypes } from '../../../src/oci/descriptor.ts'
import { collectGarbage, type GarbageOptions, type GarbageReport } from '../../../src/oci/store/collect-garbage.ts'
import { measureUsage } from '../../../src/oci/store/disk-usage.ts'
import { writeStoreFile } from '../../../src/oci/store/draft.ts'
import { blobPath, recipePath } from '../../../src/oci/store/layout.ts'
import { openStore, type Store } from '../../../src/oci/store/store.ts'
import { readPins, whileSweeping } from '../../../src/oci/store/sweep.ts'
import { jsonSample, type Sample, sampleImage, sampleIndex } from '../../support/sample-image.ts'
import { testContext } from '../../support/test-context.ts'

const ctx = testContext()
let home: string
/** Another process: what it pins counts only while it is open. */
let store: Store

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudimg-gc-'))
  store = await openStore(home)
})
afterEach(() => rm(home, { recursive: true }))

async function put(samples: readonly Sample[], into = store): Promise<void> {
  for (const { descriptor, source } of samples) await into.write(descriptor, source, ctx)
}

/** As when the process that wrote all this had ended. */
async function endProcesses(): Promise<void> {
  await rm(store.layout.leases, { recursive: true, force: true })
}

async function gc(options: GarbageOptions = {}): Promise<GarbageReport> {
  await endProcesses()
  return await collectGarbage(store.layout, options, ctx)
}

async function stored(): Promise<readonly string[]> {
  return [...(await readdir(store.layout.blobs)), ...(await readdir(store.layout.recipes))].sort()
}

const hexes = (...samples: readonly Sample[]): readonly string[] =>
  samples.map(({ descriptor }) => hexOf(descriptor.digest)).sort()

async function cache(kind: string, record: object): Promise<void> {
  await writeStoreFile(store.layout, join(store.layout.cache, kind, `${kind}.json`), JSON.stringify(record))
}

describe('gc', () => {
  const { index, all } = sampleIndex(['amd64', 'arm64'])
  const old = sampleImage('amd64', 'old')

  it('keeps what a name leads to, and removes the rest', async () => {
    await put([...all, ...old.all])
    await store.tag('a:1', index.descriptor, ctx)
    const report = await gc()
    expect(await stored()).toEqual(hexes(...all))
    expect(report.blobs.map(({ digest }) => hexOf(digest)).sort()).toEqual(hexes(...old.all))
    expect(report.bytes).toBe(old.all.reduce((sum, { bytes }) => sum + bytes.length, 0))
    expect(await readdir(store.layout.temporary)).toEqual([])
    expect(await readdir(store.layout.sweeps)).toEqual([])
    expect((await gc()).blobs).toEqual([])
  })

  it('says with dryRun what would go, and touches nothing', async () => {
    await put(old.all)
    expect((await gc({ dryRun: true })).blobs).toHaveLength(3)
    expect(await stored()).toEqual(hexes(...old.all))
  })

  it('keeps the blobs that a recipe is made of', async () => {
    const part = await store.put(Buffer.from('a download'), 'x')
    const layer = jsonSample('the layer', mediaTypes.layer).descriptor
    await store.putRecipe(layer.digest, { size: 10, segments: [{ blob: part.digest, offset: 0, length: 10 }] })
    const config = jsonSample({}, mediaTypes.config)
    const manifest = jsonSample(
      { schemaVersion: 2, config: config.descriptor, layers: [{ ...layer, size: 10 }] },
      mediaTypes.manifest,
    )
    await put([config, manifest])
    await store.tag('a:1', manifest.descriptor, ctx)
    expect((await gc()).blobs).toEqual([])
    await store.untag({ registry: 'docker.io', repository: 'library/a', tag: '1' })
    expect((await gc()).blobs).toHaveLength(4)
    expect(await stored()).toEqual([])
  })

  it('keeps referrers as long as their subject, and their own referrers', async () => {
    const image = sampleImage('amd64')
    const about = (subject: Sample, note: string): readonly Sample[] => {
      const empty = jsonSample({}, 'application/vnd.oci.empty.v1+json')
      const blob = jsonSample(note, 'text/plain')
      const body = {
        schemaVersion: 2,
        config: empty.descriptor,
        layers: [blob.descriptor],
        subject: subject.descriptor,
      }
      return [empty, blob, jsonSample(body, mediaTypes.manifest)]
    }
    const signature = about(image.manifest, 'signed')
    const counter = about(signature[2]!, 'signed too')
    await put([...image.all, ...signature, ...counter])
    await store.tag('a:1', image.manifest.descriptor, ctx)
    expect((await gc()).blobs).toEqual([])
    await store.untag({ registry: 'docker.io', repository: 'library/a', tag: '1' })
    await gc()
    expect(await stored()).toEqual([])
    expect(await store.referrers(image.manifest.descriptor.digest, ctx)).toEqual([])
    const left = await readdir(store.layout.refs, { recursive: true })
    expect(left.filter(name => name.endsWith('.json'))).toEqual([])
  })

  it('keeps what a cache record names, until the cache is dropped', async () => {
    await put([...old.all])
    await cache('layers', { descriptor: old.layer.descriptor })
    await cache('bases', { root: old.manifest.descriptor.digest })
    expect((await gc()).blobs).toEqual([])
    const report = await gc({ dropCache: ({ kind }) => kind === 'bases' })
    expect(report.cache).toEqual({ bases: 1 })
    expect(await stored()).toEqual(hexes(old.layer))
    expect((await gc({ dropCache: () => true })).cache).toEqual({ layers: 1 })
    expect(await stored()).toEqual([])
  })

  it('drops names first, and keeps what another name needs', async () => {
    await put([...all, ...old.all])
    await store.tag('a:1', index.descriptor, ctx)
    await store.tag('a:2', index.descriptor, ctx)
    await store.tag('b:1', old.manifest.descriptor, ctx)
    const report = await gc({ dropName: ({ name }) => !name.endsWith('a:2') })
    expect(report.names).toEqual(['docker.io/library/a:1', 'docker.io/library/b:1'])
    expect(await stored()).toEqual(hexes(...all))
    expect((await store.refs()).map(({ name }) => name)).toEqual(['docker.io/library/a:2'])
  })

  it('keeps with keepSince what is younger, and all that it needs', async () => {
    await put(old.all)
    for (const { descriptor } of [old.layer, old.config]) await utimes(blobPath(store.layout, descriptor.digest), 1, 1)
    expect((await gc({ keepSince: new Date(1_000_000) })).blobs).toEqual([])
    await utimes(blobPath(store.layout, old.manifest.descriptor.digest), 1, 1)
    expect((await gc({ keepSince: new Date(1_000_000) })).blobs).toHaveLength(3)
  })

  it.each([
    ['a document', (digest: Digest) => blobPath(store.layout, digest), 'manifest'],
    ['a recipe', (digest: Digest) => recipePath(store.layout, digest), 'layer'],
  ] as const)('removes nothing where %s was changed on the disk', async (_, path, part) => {
    await put(old.all)
    await store.tag('a:1', old.manifest.descriptor, ctx)
    await writeFile(path(old[part].descriptor.digest), '{"layers":[]}')
    await expect(gc()).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
    expect(await readdir(store.layout.blobs)).toHaveLength(3)
  })

  it('removes what fsck put aside, and old partial downloads', async () => {
    await mkdir(store.layout.quarantine)
    await writeFile(join(store.layout.quarantine, 'x'), 'broken')
    for (const name of ['old.part', 'new.part']) await writeFile(join(store.layout.downloads, name), 'part')
    await utimes(join(store.layout.downloads, 'old.part'), 1, 1)
    expect(await gc()).toMatchObject({ leftovers: 2, bytes: 10 })
    expect(await readdir(store.layout.downloads)).toEqual(['new.part'])
    expect(await gc({ dropCache: () => true })).toMatchObject({ leftovers: 1 })
  })
})

describe('what a running process relies on', () => {
  const image = sampleImage('amd64')
  const other = async (): Promise<Store> => await openStore(home)

  it.each<readonly [string, (by: Store) => Promise<unknown>]>([
    ['has', by => by.has(image.manifest.descriptor, ctx)],
    ['open', by => by.read(image.manifest.descriptor, 10_000, ctx)],
    ['sizeOf', by => by.sizeOf(image.manifest.descriptor.digest)],
    ['write', by => by.write(image.manifest.descriptor, image.manifest.source, ctx)],
    ['put', by => by.put(image.manifest.bytes, mediaTypes.manifest)],
    ['keep', by => by.keep([image.manifest.descriptor.digest])],
  ])('stays, with all that it needs: %s', async (_, rely) => {
    await put(image.all)
    await endProcesses()
    await rely(await other())
    const report = await collectGarbage(store.layout, {}, ctx)
    expect(report.blobs).toEqual([])
    expect(report.kept).toEqual({ bytes: expect.any(Number) as number, processes: [process.pid] })
    expect(await stored()).toEqual(hexes(...image.all))
  })

  it('stays when its name is removed meanwhile', async () => {
    await put(image.all)
    await store.tag('a:1', image.manifest.descriptor, ctx)
    await endProcesses()
    await (await other()).resolve('a:1', ctx)
    await store.untag({ registry: 'docker.io', repository: 'library/a', tag: '1' })
    expect((await collectGarbage(store.layout, {}, ctx)).blobs).toEqual([])
  })

  it('is asked for only once a sweep has ended', async () => {
    await put(image.all)
    await endProcesses()
    const late = await other()
    let answer: boolean | undefined
    let asking: Promise<void> | undefined
    await whileSweeping(store.layout, async () => {
      asking = late.has(image.layer.descriptor, ctx).then(found => void (answer = found))
      await new Promise(resolve => setTimeout(resolve, 50))
      expect(answer).toBeUndefined()
      await rm(blobPath(store.layout, image.layer.descriptor.digest))
    })
    await asking
    expect(answer).toBe(false)
  })

  const [pid = '', start = '', machine = ''] = ownIdentity().split('-')
  it.each([
    ['this process', `${pid}-${start}-${machine}`, 0, true],
    ['a process that had the same number before', `${pid}-1-${machine}`, 0, false],
    ['a process that has ended', `4194304-1-${machine}`, 0, false],
    ['one elsewhere that was heard of just now', `1-1-elsewhere`, 0, true],
    ['one elsewhere that fell silent', `1-1-elsewhere`, 11 * 60, false],
  ])('counts as its owner lives: %s', async (_, identity, silentSeconds, counts) => {
    await put(image.all)
    await endProcesses()
    await mkdir(store.layout.leases)
    const lease = join(store.layout.leases, `${identity}.0.0`)
    await writeFile(lease, `${hexOf(image.layer.descriptor.digest)} ${Math.floor(Date.now() / 1000)}\n`)
    const heard = Date.now() / 1000 - silentSeconds
    await utimes(lease, heard, heard)
    expect((await readPins(store.layout)).size).toBe(counts ? 1 : 0)
    expect(await readdir(store.layout.leases)).toHaveLength(counts ? 1 : 0)
  })

  it('is forgotten in time by a server', async () => {
    const server = await openStore(home, { forgetMs: 3_600_000 })
    await server.keep([image.layer.descriptor.digest])
    expect((await readPins(store.layout)).size).toBe(1)
    const [name] = await readdir(store.layout.leases)
    const line = (age: number): string =>
      `${hexOf(image.layer.descriptor.digest)} ${Math.floor(Date.now() / 1000) - age}\n`
    await writeFile(join(store.layout.leases, name!), line(3500))
    expect((await readPins(store.layout)).size).toBe(1)
    await writeFile(join(store.layout.leases, name!), line(3700))
    expect((await readPins(store.layout)).size).toBe(0)
  })

  it('is not held up by a sweeper that was killed', async () => {
    await mkdir(store.layout.sweeps, { recursive: true })
    await writeFile(join(store.layout.sweeps, `4194304-1-${machine}.0`), '')
    expect(await store.has(image.layer.descriptor, ctx)).toBe(false)
    expect(await readdir(store.layout.sweeps)).toEqual([])
  })
})

describe('df', () => {
  it('counts each byte once, for the first that needs it', async () => {
    const [a, b] = [sampleIndex(['amd64', 'arm64']), sampleIndex(['amd64'])]
    const loose = sampleImage('arm64', 'loose')
    await put([...a.all, ...b.all, ...loose.all])
    await store.tag('a:1', a.index.descriptor, ctx)
    await store.tag('b:1', b.index.descriptor, ctx)
    await cache('downloads', { digest: loose.layer.descriptor.digest })
    await writeFile(join(store.layout.downloads, 'x.part'), 'part')
    const { images, groups, bytes } = await measureUsage(store.layout, ctx)
    const size = (samples: readonly Sample[]): number => samples.reduce((sum, sample) => sum + sample.bytes.length, 0)
    const amd64 = size(b.images[0]!.all)
    expect(images).toMatchObject([
      { name: 'docker.io/library/a:1', bytes: size(a.all), unique: size(a.all) - amd64 },
      { name: 'docker.io/library/b:1', bytes: size(b.all), unique: b.index.bytes.length },
    ])
    expect(groups).toMatchObject({
      images: { count: 2, bytes: size(a.all) + b.index.bytes.length },
      downloads: { count: 1, bytes: loose.layer.bytes.length },
      unneeded: { count: 2, bytes: loose.manifest.bytes.length + loose.config.bytes.length },
      unfinished: { count: 1, bytes: 4 },
    })
    expect(bytes).toBe(Object.values(groups).reduce((sum, group) => sum + group.bytes, 0))
  })
})
