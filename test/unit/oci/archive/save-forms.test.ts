import { randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import { createZstdCompress, gzipSync, zstdCompressSync } from 'node:zlib'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf, hexOf } from '../../../../src/core/digest.ts'
import { parseReference } from '../../../../src/core/reference.ts'
import { readTar } from '../../../../src/io/tar.ts'
import { formatInventory, parseInventory, takeInventory } from '../../../../src/oci/archive/inventory.ts'
import { loadArchives } from '../../../../src/oci/archive/load-archive.ts'
import type { ArchiveRoot } from '../../../../src/oci/archive/plan-archive.ts'
import { saveArchiveFile } from '../../../../src/oci/archive/save-archive-file.ts'
import { saveArchive, type SaveOptions } from '../../../../src/oci/archive/save-archive.ts'
import { saveDirectory } from '../../../../src/oci/archive/save-directory.ts'
import { saveParts } from '../../../../src/oci/archive/save-parts.ts'
import { mediaTypes } from '../../../../src/oci/descriptor.ts'
import { blobPath } from '../../../../src/oci/store/layout.ts'
import { openStore, type Store } from '../../../../src/oci/store/store.ts'
import { memoryEnd, type MemoryEnd } from '../../../support/memory-end.ts'
import { jsonSample, sample, type Sample, sampleImage } from '../../../support/sample-image.ts'
import { testContext } from '../../../support/test-context.ts'

const ctx = testContext()
const amd64 = { os: 'linux', arch: 'amd64' } as const
let folder: string
let store: Store
let serial = 0
const fresh = (): string => join(folder, String(++serial))

/** An image whose layers are packed in all ways, one put together from parts, one zstd frame that does not say its size. */
interface Packed {
  readonly manifest: Sample
  readonly config: Sample
  readonly layers: readonly Sample[]
  readonly tars: readonly Buffer[]
}

async function pack(seed: string): Promise<Packed> {
  const tars = ['plain', 'gzip', 'zstd', 'stream'].map(
    kind => sampleImage('amd64', Buffer.concat([Buffer.from(seed + kind), randomBytes(700_000)])).layer.bytes,
  )
  const stream = await buffer(
    Readable.from([tars[3]!.subarray(0, 1000), tars[3]!.subarray(1000)]).pipe(createZstdCompress()),
  )
  const layers = [
    sample(tars[0]!, mediaTypes.layer),
    sample(gzipSync(tars[1]!), mediaTypes.layerGzip),
    sample(zstdCompressSync(tars[2]!), mediaTypes.layerZstd),
    sample(stream, mediaTypes.layerZstd),
  ]
  const rootfs = { type: 'layers', diff_ids: tars.map(tar => digestOf(tar)) }
  const config = jsonSample({ architecture: 'amd64', os: 'linux', config: {}, rootfs }, mediaTypes.config)
  const manifest = jsonSample(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: config.descriptor,
      layers: layers.map(({ descriptor }) => descriptor),
    },
    mediaTypes.manifest,
  )
  return { manifest, config, layers, tars }
}

let image: Packed
let roots: readonly ArchiveRoot[]
const samples = ({ layers, config, manifest }: Packed): readonly Sample[] => [...layers, config, manifest]

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudimg-save-'))
  store = await openStore(join(folder, 'store'))
  image = await pack('a')
  const [first, ...others] = image.layers
  const part = await store.put(first!.bytes.subarray(512), 'x')
  const segments = [{ inline: first!.bytes.subarray(0, 512) }, { blob: part.digest, offset: 0, length: part.size }]
  await store.putRecipe(first!.descriptor.digest, { size: first!.descriptor.size, segments })
  for (const { descriptor, source } of [...others, image.config, image.manifest])
    await store.write(descriptor, source, ctx)
  await store.tag('registry.local/k3s:v1', image.manifest.descriptor, ctx)
  roots = [{ name: parseReference('registry.local/k3s:v1'), descriptor: image.manifest.descriptor }]
})
afterAll(() => rm(folder, { recursive: true }))

async function entriesOf(path: string): Promise<Map<string, Buffer>> {
  const entries = new Map<string, Buffer>()
  for await (const entry of readTar(createReadStream(path), path))
    entries.set(entry.path, Buffer.concat(await Array.fromAsync(entry.content())))
  return entries
}

async function saved(options: SaveOptions = {}): Promise<string> {
  const path = fresh()
  await saveArchiveFile(store, roots, path, { platform: amd64, ...options }, ctx)
  return path
}

async function loaded(...paths: readonly string[]): Promise<MemoryEnd> {
  const target = memoryEnd()
  await loadArchives(paths, target, { temporary: folder }, ctx)
  return target
}

const leftovers = async (): Promise<readonly string[]> =>
  (await readdir(folder)).filter(name => name.includes('.tmp') || name.includes('.load-'))

describe('the forms of one tar', () => {
  it.each([['hybrid'], ['oci-archive'], ['docker-archive']] as const)(
    '%s: a file written by positions, a stream, parts, and a source without files give the same bytes',
    async form => {
      const path = await saved({ form })
      const bytes = await readFile(path)
      const streamed = fresh()
      await saveArchive(store, roots, createWriteStream(streamed), { platform: amd64, form }, ctx)
      expect((await readFile(streamed)).equals(bytes)).toBe(true)
      const elsewhere = fresh()
      await saveArchiveFile(memoryEnd(samples(image)), roots, elsewhere, { platform: amd64, form }, ctx)
      expect((await readFile(elsewhere)).equals(bytes)).toBe(true)
      const parts = fresh()
      const list = await saveParts(store, roots, parts, 1_000_000, { platform: amd64, form }, ctx)
      const whole = await Promise.all(list.parts.map(({ name }) => readFile(join(folder, name))))
      expect(Buffer.concat(whole).equals(bytes)).toBe(true)
    },
  )

  it('hybrid has plain copies of zstd layers for docker, oci-archive neither those nor a list', async () => {
    const hybrid = await entriesOf(await saved())
    const oci = await entriesOf(await saved({ form: 'oci-archive' }))
    const plain = [2, 3].map(i => `docker/${hexOf(digestOf(image.tars[i]!))}.tar`)
    expect(plain.map(path => hybrid.get(path))).toEqual([image.tars[2], image.tars[3]])
    expect([...hybrid.keys()].filter(path => !oci.has(path)).sort()).toEqual([...plain, 'manifest.json'].sort())
  })

  it('docker-archive has configs and layers as skopeo names them, zstd unpacked', async () => {
    const entries = await entriesOf(await saved({ form: 'docker-archive' }))
    const ids = image.tars.map(tar => hexOf(digestOf(tar)))
    const names = [
      `${ids[0]}.tar`,
      `${hexOf(image.layers[1]!.descriptor.digest)}.tar.gz`,
      `${ids[2]}.tar`,
      `${ids[3]}.tar`,
    ]
    const config = `${hexOf(image.config.descriptor.digest)}.json`
    expect(JSON.parse(entries.get('manifest.json')!.toString())).toEqual([
      { Config: config, RepoTags: ['registry.local/k3s:v1'], Layers: names },
    ])
    expect(new Set(entries.keys())).toEqual(new Set(['manifest.json', config, ...names]))
    const contents = [image.tars[0], image.layers[1]!.bytes, image.tars[2], image.tars[3]]
    expect(names.map((name, i) => entries.get(name)!.equals(contents[i]!))).toEqual([true, true, true, true])
    expect((await loaded(await saved({ form: 'docker-archive' }))).blobs.has(image.config.descriptor.digest)).toBe(true)
  })

  it('docker-archive refuses what is no image', async () => {
    const artifact = jsonSample(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        config: image.config.descriptor,
        layers: [{ ...image.config.descriptor, mediaType: 'a/b' }],
      },
      mediaTypes.manifest,
    )
    const source = memoryEnd([artifact, image.config])
    const root = { name: parseReference('a:1'), descriptor: artifact.descriptor }
    const saving = saveArchiveFile(source, [root], fresh(), { form: 'docker-archive' }, ctx)
    await expect(saving).rejects.toMatchObject({ code: 'UNSUPPORTED', hint: expect.stringContaining('oci-archive') })
  })

  it('a layer whose content is not what the config says is refused, and nothing is left', async () => {
    const other = sample(zstdCompressSync(randomBytes(5000)), mediaTypes.layerZstd)
    const rootfs = { type: 'layers', diff_ids: [digestOf('something else')] }
    const config = jsonSample({ architecture: 'amd64', os: 'linux', config: {}, rootfs }, mediaTypes.config)
    const value = {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: config.descriptor,
      layers: [other.descriptor],
    }
    const manifest = jsonSample(value, mediaTypes.manifest)
    for (const { descriptor, source } of [other, config, manifest]) await store.write(descriptor, source, ctx)
    const path = fresh()
    const root = { name: parseReference('a:1'), descriptor: manifest.descriptor }
    await expect(saveArchiveFile(store, [root], path, { platform: amd64 }, ctx)).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    })
    expect((await readdir(folder)).filter(name => name.startsWith(basename(path)))).toEqual([])
    expect(await leftovers()).toEqual([])
  })

  it('a file that is there already stays whole when saving is interrupted', async () => {
    const path = fresh()
    await writeFile(path, 'as before')
    const controller = new AbortController()
    const events = (event: { readonly kind: string }): void => {
      if (event.kind === 'task.progress') controller.abort(new Error('interrupted'))
    }
    const saving = saveArchiveFile(store, roots, path, {}, { signal: controller.signal, events })
    await expect(saving).rejects.toThrow('interrupted')
    expect(await readFile(path, 'utf8')).toBe('as before')
    expect(await leftovers()).toEqual([])
  })

  it('finds out that a blob of the store was changed', async () => {
    const path = blobPath(store.layout, image.layers[1]!.descriptor.digest)
    const bytes = await readFile(path)
    await writeFile(path, Buffer.alloc(bytes.length))
    await expect(saved()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    await writeFile(path, bytes)
    await saved()
  })
})

describe('parts', () => {
  async function inParts(): Promise<{ readonly path: string; readonly names: readonly string[] }> {
    const directory = fresh()
    await mkdir(directory)
    const path = join(directory, 'k3s.tar')
    const { parts } = await saveParts(store, roots, path, 1_000_000, {}, ctx)
    return { path, names: parts.map(({ name }) => name) }
  }

  const everything = (): ReadonlySet<string> => new Set(samples(image).map(({ descriptor }) => descriptor.digest))

  it('are listed with size and sha256, and nothing else is left', async () => {
    const { path, names } = await inParts()
    expect(names.length).toBeGreaterThan(3)
    expect((await readdir(join(path, '..'))).sort()).toEqual([...names, 'k3s.tar.parts.json'].sort())
    const list = JSON.parse(await readFile(`${path}.parts.json`, 'utf8'))
    for (const { name, size, sha256 } of list.parts) {
      const bytes = await readFile(join(path, '..', name))
      expect([bytes.length, digestOf(bytes)]).toEqual([size, `sha256:${sha256}`])
      expect(size).toBeLessThanOrEqual(1_000_000)
    }
  })

  it.each([
    ['by their list', (path: string) => [`${path}.parts.json`]],
    ['by the archive’s name', (path: string) => [path]],
    ['by one of them', (path: string, names: readonly string[]) => [join(path, '..', names[1]!)]],
    ['all, backwards', (path: string, names: readonly string[]) => names.map(name => join(path, '..', name)).reverse()],
  ])('are loaded %s', async (_what, inputs) => {
    const { path, names } = await inParts()
    expect(new Set((await loaded(...inputs(path, names))).blobs.keys())).toEqual(everything())
  })

  it('are loaded from several places, under other names', async () => {
    const { path, names } = await inParts()
    const there = join(path, '../there')
    await mkdir(there)
    await rename(join(path, '..', names[0]!), join(there, names[0]!))
    await rename(join(path, '..', names[1]!), join(there, 'renamed.777'))
    expect(
      new Set((await loaded(join(there, 'renamed.777'), `${path}.parts.json`, join(there, names[0]!))).blobs.keys()),
    ).toEqual(everything())
  })

  it('are loaded as a stream', async () => {
    const { path, names } = await inParts()
    const whole = Buffer.concat(await Promise.all(names.map(name => readFile(join(path, '..', name)))))
    const target = memoryEnd()
    await loadArchives(Readable.from([whole]), target, { temporary: folder }, ctx)
    expect(new Set(target.blobs.keys())).toEqual(everything())
  })

  it('of a packed archive are loaded', async () => {
    const { path, names } = await inParts()
    const whole = gzipSync(Buffer.concat(await Promise.all(names.map(name => readFile(join(path, '..', name))))))
    const half = whole.length >> 1
    const parts = [whole.subarray(0, half), whole.subarray(half)].map((bytes, i) => ({
      bytes,
      entry: { name: `p.00${i + 1}`, size: bytes.length, sha256: hexOf(digestOf(bytes)) },
    }))
    const list = { schemaVersion: 1, archive: 'p', size: whole.length, parts: parts.map(({ entry }) => entry) }
    for (const { bytes, entry } of parts) await writeFile(join(path, '..', entry.name), bytes)
    await writeFile(join(path, '../p.parts.json'), JSON.stringify(list))
    expect(new Set((await loaded(join(path, '../p.parts.json'))).blobs.keys())).toEqual(everything())
  })

  it('that are missing are named', async () => {
    const { path, names } = await inParts()
    for (const name of [names[0]!, names[2]!]) await rm(join(path, '..', name))
    await expect(loaded(`${path}.parts.json`)).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      message: expect.stringContaining(`${names[0]}, ${names[2]}`),
      hint: expect.stringContaining('--input'),
    })
  })

  it.each([
    ['too short', async (part: string) => await truncate(part, 10), 'SIZE_MISMATCH'],
    ['zeroed', async (part: string) => await writeFile(part, Buffer.alloc(1_000_000)), 'DIGEST_MISMATCH'],
    [
      'one bit off',
      async (part: string) => {
        const bytes = await readFile(part)
        bytes[500_000]! ^= 1
        await writeFile(part, bytes)
      },
      'DIGEST_MISMATCH',
    ],
  ])('one that is %s is named', async (_what, breakIt, code) => {
    const { path, names } = await inParts()
    const part = join(path, '..', names[1]!)
    await breakIt(part)
    await expect(loaded(`${path}.parts.json`)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(part),
      hint: `copy ${names[1]} again`,
    })
  })

  it('are replaced by a shorter archive’s, none of the longer one stays', async () => {
    const { path } = await inParts()
    const { parts } = await saveParts(store, roots, path, 100_000_000, {}, ctx)
    expect(parts).toHaveLength(1)
    expect((await readdir(join(path, '..'))).sort()).toEqual(['k3s.tar.001', 'k3s.tar.parts.json'])
  })

  it.each([
    ['no JSON', 'x'],
    [
      'a part that lies elsewhere',
      JSON.stringify({
        schemaVersion: 1,
        archive: 'a',
        size: 1,
        parts: [{ name: '../a', size: 1, sha256: '0'.repeat(64) }],
      }),
    ],
  ])('a list that is %s is refused', async (_what, content) => {
    const path = `${fresh()}.parts.json`
    await writeFile(path, content)
    await expect(loaded(path)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
  })
})

describe('deltas', () => {
  it.each([['file'], ['directory'], ['parts']] as const)('leave out what the other side has: %s', async kind => {
    const [base, next] = [await pack('base'), await pack('next')]
    const value = JSON.parse(next.manifest.bytes.toString())
    const shared = jsonSample(
      { ...value, layers: [...value.layers, base.layers[0]!.descriptor, base.layers[2]!.descriptor] },
      mediaTypes.manifest,
    )
    const target = memoryEnd(samples(base))
    target.names.set('registry.local/k3s:v1', base.manifest.descriptor)
    const source = memoryEnd([...samples(base), ...samples(next), shared])
    const images = [{ name: 'registry.local/k3s:v1', descriptor: base.manifest.descriptor }]
    const have = parseInventory(formatInventory(await takeInventory(target, images, ctx)), 'inventory')
    expect(have.size).toBe(samples(base).length)
    const root = { name: parseReference('registry.local/k3s:v2'), descriptor: shared.descriptor }
    const path = fresh()
    if (kind === 'directory') await saveDirectory(source, [root], path, { have }, ctx)
    else if (kind === 'file') await saveArchiveFile(source, [root], path, { have }, ctx)
    else await saveParts(source, [root], path, 1_000_000, { have }, ctx)
    expect(await loadArchives([path], target, {}, ctx)).toEqual([
      { name: 'registry.local/k3s:v2', digest: shared.descriptor.digest },
    ])
    expect(target.blobs.size).toBe(samples(base).length + samples(next).length)

    const empty = memoryEnd()
    await expect(loadArchives([path], empty, {}, ctx)).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      message: expect.stringMatching(/delta that leaves out 2 blobs of registry\.local\/k3s:v1/),
      hint: expect.stringContaining('registry.local/k3s:v1'),
    })
    expect(empty.blobs.size).toBe(0)
  })

  it('have the blobs that were asked for and no other, and say so in a file', async () => {
    const [left] = image.layers
    const path = await saved({ have: new Map([[left!.descriptor.digest, ['x:1']]]) })
    const whole = await entriesOf(await saved({ form: 'oci-archive' }))
    const entries = await entriesOf(path)
    expect([...whole.keys()].filter(name => !entries.has(name))).toEqual([
      `blobs/sha256/${hexOf(left!.descriptor.digest)}`,
    ])
    expect([...entries.keys()].filter(name => !whole.has(name))).toEqual(['cloudimg-delta.json'])
    const { mediaType, digest, size } = left!.descriptor
    const list = { schemaVersion: 1, leftOut: [{ mediaType, digest, size, names: ['x:1'] }] }
    expect(JSON.parse(entries.get('cloudimg-delta.json')!.toString())).toEqual(list)
  })

  it('are no form of docker’s', async () => {
    const saving = saveArchiveFile(store, roots, fresh(), { form: 'docker-archive', have: new Map() }, ctx)
    await expect(saving).rejects.toMatchObject({ code: 'USAGE' })
  })

  it.each([
    [
      `# remark\n\n${digestOf('a')}\n${digestOf('b')} x,y # more\n${digestOf('b')} z\n`,
      [
        [digestOf('a'), []],
        [digestOf('b'), ['x', 'y', 'z']],
      ],
    ],
    ['', []],
  ])('read an inventory', (text, expected) => {
    expect([...parseInventory(text, 'x')]).toEqual(expected)
  })

  it('name the line of an inventory that is none', () => {
    expect(() => parseInventory(`${digestOf('a')}\nhello\n`, '"site.txt"')).toThrow(/site\.txt.*line 2/)
  })

  it('count only what is here: an inventory of the store', async () => {
    const incomplete = await openStore(fresh())
    for (const { descriptor, source } of [image.config, image.manifest, image.layers[1]!])
      await incomplete.write(descriptor, source, ctx)
    const images = [{ name: 'x', descriptor: image.manifest.descriptor }]
    const inventory = await takeInventory(incomplete, images, ctx)
    expect(new Set(inventory.keys())).toEqual(
      new Set([image.config, image.manifest, image.layers[1]!].map(({ descriptor }) => descriptor.digest)),
    )
  })
})

describe('a directory', () => {
  it('from the store has each blob as a file of its own, never a link into the store', async () => {
    const path = fresh()
    await saveDirectory(store, roots, path, {}, ctx)
    for (const { descriptor, bytes } of samples(image))
      expect((await readFile(join(path, 'blobs/sha256', hexOf(descriptor.digest)))).equals(bytes)).toBe(true)
    const victim = join(path, 'blobs/sha256', hexOf(image.layers[1]!.descriptor.digest))
    await writeFile(victim, 'changed by its owner')
    const kept = await readFile(blobPath(store.layout, image.layers[1]!.descriptor.digest))
    expect(kept.equals(image.layers[1]!.bytes)).toBe(true)
  })

  it('of an interrupted run is completed by the next', async () => {
    const path = fresh()
    await mkdir(join(path, 'blobs/sha256'), { recursive: true })
    await copyFile(await saved(), join(path, 'blobs/sha256', hexOf(image.layers[1]!.descriptor.digest)))
    await writeFile(join(path, 'oci-layout'), '{}')
    await saveDirectory(store, roots, path, {}, ctx)
    expect((await loaded(path)).blobs.size).toBe(samples(image).length)
  })
})
