import { createWriteStream } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { digestOf, hexOf } from '../../../../src/core/digest.ts'
import { parseReference } from '../../../../src/core/reference.ts'
import { encodeHeader, readTar, tarEnd, tarPadding, type TarEntry } from '../../../../src/io/tar.ts'
import { type Archive, openArchive } from '../../../../src/oci/archive/open-archive.ts'
import type { ArchiveOptions, ArchiveRoot } from '../../../../src/oci/archive/plan-archive.ts'
import { saveArchive } from '../../../../src/oci/archive/save-archive.ts'
import { saveDirectory } from '../../../../src/oci/archive/save-directory.ts'
import { copyImage } from '../../../../src/oci/copy.ts'
import { mediaTypes } from '../../../../src/oci/descriptor.ts'
import { imageFor } from '../../../../src/oci/document.ts'
import { memoryEnd, type MemoryEnd } from '../../../support/memory-end.ts'
import { jsonSample, sample, sampleImage, sampleIndex } from '../../../support/sample-image.ts'
import { testContext } from '../../../support/test-context.ts'

let folder: string
let source: MemoryEnd
const ctx = testContext()
const { index, images, all } = sampleIndex(['amd64', 'arm64'])
const name = parseReference('registry.local/k3s:v1')
const fullName = 'registry.local/k3s:v1'
const amd64 = { os: 'linux', arch: 'amd64' } as const
const arm64 = { os: 'linux', arch: 'arm64' } as const

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloudimg-archive-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})
beforeEach(() => {
  source = memoryEnd(all)
})

let serial = 0
function fresh(): string {
  return join(folder, String(++serial))
}

async function save(roots: readonly ArchiveRoot[], options: ArchiveOptions = { platform: amd64 }): Promise<string> {
  const path = fresh()
  await saveArchive(source, roots, createWriteStream(path), options, ctx)
  return path
}

async function entriesOf(path: string): Promise<Map<string, Buffer>> {
  const entries = new Map<string, Buffer>()
  for await (const entry of readTar(Readable.from([await readFile(path)]), path))
    entries.set(entry.path, Buffer.concat(await Array.fromAsync(entry.content())))
  return entries
}

async function opened<T>(input: string | Readable, work: (archive: Archive) => Promise<T>): Promise<T> {
  const archive = await openArchive(input, { temporary: folder }, ctx)
  try {
    return await work(archive)
  } finally {
    await archive.close()
  }
}

function tar(
  ...entries: readonly (Partial<TarEntry> & { readonly path: string; readonly content?: string | Buffer })[]
): Buffer {
  const parts = entries.flatMap(({ content = '', ...entry }) => {
    const bytes = Buffer.from(content)
    const defaults = { type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: 0 } as const
    return [encodeHeader({ ...defaults, ...entry, size: bytes.length }), bytes, tarPadding(bytes.length)]
  })
  return Buffer.concat([...parts, tarEnd])
}

describe('saveArchive', () => {
  it('writes what loaders need first, then the blobs in byte order', async () => {
    const entries = await entriesOf(await save([{ name, descriptor: index.descriptor }]))
    const blobs = all.map(({ descriptor }) => `blobs/sha256/${hexOf(descriptor.digest)}`).sort()
    expect([...entries.keys()]).toEqual([
      'oci-layout',
      'index.json',
      'manifest.json',
      'blobs/',
      'blobs/sha256/',
      ...blobs,
    ])
    for (const { descriptor, bytes } of all)
      expect(entries.get(`blobs/sha256/${hexOf(descriptor.digest)}`)).toEqual(bytes)
    expect(JSON.parse(entries.get('oci-layout')!.toString())).toEqual({ imageLayoutVersion: '1.0.0' })
    expect(JSON.parse(entries.get('index.json')!.toString()).manifests).toEqual([
      {
        ...index.descriptor,
        annotations: { 'io.containerd.image.name': fullName, 'org.opencontainers.image.ref.name': 'v1' },
      },
    ])
  })

  it.each([
    ['the platform that is asked for', arm64, 1],
    ['the first that there is, where it is not', { os: 'linux', arch: 's390x' } as const, 0],
  ])('names for docker %s', async (_what, platform, expected) => {
    const entries = await entriesOf(await save([{ name, descriptor: index.descriptor }], { platform }))
    const { config, layer } = images[expected]!
    expect(JSON.parse(entries.get('manifest.json')!.toString())).toEqual([
      {
        Config: `blobs/sha256/${hexOf(config.descriptor.digest)}`,
        RepoTags: [fullName],
        Layers: [`blobs/sha256/${hexOf(layer.descriptor.digest)}`],
      },
    ])
  })

  it('puts an unpacked copy of a zstd layer beside it for docker, which cannot read zstd before version 23', async () => {
    const packed = sample(zstdCompressSync(images[0]!.layer.bytes), mediaTypes.layerZstd)
    const manifest = jsonSample(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        config: images[0]!.config.descriptor,
        layers: [packed.descriptor],
      },
      mediaTypes.manifest,
    )
    source = memoryEnd([packed, images[0]!.config, manifest])
    const entries = await entriesOf(await save([{ name, descriptor: manifest.descriptor }]))
    const plain = `docker/${hexOf(images[0]!.layer.descriptor.digest)}.tar`
    expect(JSON.parse(entries.get('manifest.json')!.toString())[0].Layers).toEqual([plain])
    expect(entries.get(plain)).toEqual(images[0]!.layer.bytes)
    expect(entries.get(`blobs/sha256/${hexOf(packed.descriptor.digest)}`)).toEqual(packed.bytes)
  })

  it('gives the same bytes for the same images', async () => {
    const roots = [{ name, descriptor: index.descriptor }]
    const again = memoryEnd([...all].reverse())
    const path = fresh()
    await saveArchive(again, roots, createWriteStream(path), { platform: amd64 }, ctx)
    expect(await readFile(path)).toEqual(await readFile(await save(roots)))
  })

  it('takes along chosen platforms only', async () => {
    const one = await save([{ name, descriptor: index.descriptor, platforms: [arm64] }])
    const { manifest } = images[1]!
    await opened(one, async archive => {
      expect(archive.names()).toEqual([{ name: fullName, tag: undefined, descriptor: manifest.descriptor }])
      expect(await archive.has(images[0]!.layer.descriptor, ctx)).toBe(false)
    })
    const three = sampleIndex(['amd64', 'arm64', 's390x'])
    source = memoryEnd(three.all)
    const two = await save([{ name, descriptor: three.index.descriptor, platforms: [amd64, arm64] }])
    await opened(two, async archive => {
      const descriptor = (await archive.resolve(fullName, ctx))!
      expect((await imageFor(archive, descriptor, arm64, ctx)).platform).toEqual(arm64)
      await expect(imageFor(archive, descriptor, { os: 'linux', arch: 's390x' }, ctx)).rejects.toThrow('no linux/s390x')
    })
  })

  it('keeps several images, shared blobs once', async () => {
    const other = { name: parseReference('docker.io/library/alone:v2'), descriptor: images[0]!.manifest.descriptor }
    const path = await save([{ name, descriptor: index.descriptor }, other])
    await opened(path, async archive => {
      expect(archive.names().map(image => image.name)).toEqual([fullName, 'docker.io/library/alone:v2'])
      expect(await archive.resolve('alone:v2', ctx)).toEqual(other.descriptor)
    })
    expect((await entriesOf(path)).size).toBe(5 + all.length)
  })

  it('stops with the error of a broken blob', async () => {
    source.blobs.set(images[0]!.layer.descriptor.digest, Buffer.alloc(images[0]!.layer.bytes.length))
    await expect(save([{ name, descriptor: index.descriptor }])).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })
})

describe('openArchive', () => {
  const referrer = jsonSample(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: 'application/spdx+json',
      config: images[0]!.config.descriptor,
      layers: [],
      subject: images[0]!.manifest.descriptor,
    },
    mediaTypes.manifest,
  )

  it.each([
    ['a file', (bytes: Buffer) => bytes],
    ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
    ['a stream', (bytes: Buffer) => Readable.from([bytes])],
    ['a stream of gzip', (bytes: Buffer) => Readable.from([gzipSync(bytes)])],
  ])('gives back what was saved, from %s', async (_what, pack) => {
    source.blobs.set(referrer.descriptor.digest, referrer.bytes)
    source.referring.set(images[0]!.manifest.descriptor.digest, [referrer.descriptor])
    const path = await save([{ name, descriptor: index.descriptor }])
    const packed = pack(await readFile(path))
    if (Buffer.isBuffer(packed)) await writeFile(path, packed)
    const input = Buffer.isBuffer(packed) ? path : packed
    const target = memoryEnd()
    await opened(input, async archive => {
      expect(archive.names()).toEqual([{ name: fullName, tag: undefined, descriptor: index.descriptor }])
      expect(await copyImage(archive, fullName, target, fullName, {}, ctx)).toEqual(index.descriptor)
      const { layer } = images[0]!
      const part = await archive.open(layer.descriptor, ctx, { offset: 3, length: 5 })
      expect(await buffer(part)).toEqual(layer.bytes.subarray(3, 8))
      expect(await archive.resolve(index.descriptor.digest, ctx)).toEqual(index.descriptor)
      expect(await archive.resolve('registry.local/k3s:v2', ctx)).toBeUndefined()
    })
    expect(new Set(target.blobs.keys())).toEqual(new Set(source.blobs.keys()))
    expect(target.names.get(fullName)).toEqual(index.descriptor)
    expect((await readdir(folder)).filter(entry => entry.includes('.load-'))).toEqual([])
  })

  it('reads a layout directory that we wrote, and a second writing there is refused', async () => {
    const path = fresh()
    const roots = [{ name, descriptor: index.descriptor }]
    await saveDirectory(source, roots, path, {}, ctx)
    expect((await readdir(path)).sort()).toEqual(['blobs', 'index.json', 'oci-layout'])
    expect((await readdir(join(path, 'blobs/sha256'))).length).toBe(all.length)
    const target = memoryEnd()
    await opened(path, async archive => await copyImage(archive, fullName, target, fullName, {}, ctx))
    expect(target.blobs.size).toBe(all.length)
    await expect(saveDirectory(source, roots, path, {}, ctx)).rejects.toMatchObject({ code: 'USAGE' })
  })

  const { layer, config } = sampleImage('amd64')
  const list = (layers: readonly string[], tags: readonly string[] | null = ['a:1', 'registry.local/b:2']): string =>
    JSON.stringify([{ Config: 'config.json', RepoTags: tags, Layers: layers }])

  it.each([
    ['by a file', { path: 'id/layer.tar', content: layer.bytes }, mediaTypes.layer],
    ['by a gzip file', { path: 'id/layer.tar', content: gzipSync(layer.bytes) }, mediaTypes.layerGzip],
    [
      'by a symlink',
      { path: 'id/layer.tar', type: 'symlink', linkTarget: '../other/layer.tar' } as const,
      mediaTypes.layer,
    ],
    [
      'by a hard link',
      { path: 'id/layer.tar', type: 'hardlink', linkTarget: 'other/layer.tar' } as const,
      mediaTypes.layer,
    ],
  ])('reads an archive of docker, a layer %s', async (_what, entry, mediaType) => {
    const path = fresh()
    const bytes = tar(
      { path: 'other/layer.tar', content: layer.bytes },
      { path: './config.json', content: config.bytes },
      entry,
      { path: 'manifest.json', content: list(['id/layer.tar']) },
    )
    await writeFile(path, bytes)
    await opened(path, async archive => {
      expect(archive.names().map(image => image.name)).toEqual(['docker.io/library/a:1', 'registry.local/b:2'])
      const target = memoryEnd()
      const descriptor = await copyImage(archive, 'a:1', target, 'x', {}, ctx)
      const image = await imageFor(target, descriptor, amd64, ctx)
      expect(image.manifest.layers.map(found => found.mediaType)).toEqual([mediaType])
      expect(image.config.rootfs.diff_ids).toEqual([layer.descriptor.digest])
    })
  })

  it.each([
    [
      'a layer that is not there',
      tar({ path: 'config.json', content: config.bytes }, { path: 'manifest.json', content: list(['x']) }),
      'ARCHIVE_INVALID',
    ],
    [
      'a layer that is another than the config says',
      tar(
        { path: 'config.json', content: config.bytes },
        { path: 'x', content: 'other' },
        { path: 'manifest.json', content: list(['x']) },
      ),
      'DIGEST_MISMATCH',
    ],
    [
      'more layers than the config says',
      tar({ path: 'config.json', content: config.bytes }, { path: 'manifest.json', content: list(['x', 'y']) }),
      'IMAGE_INVALID',
    ],
    [
      'a layer by a link that leads outside',
      tar(
        { path: 'config.json', content: config.bytes },
        { path: 'x', type: 'symlink', linkTarget: '../../etc/passwd' },
        { path: 'manifest.json', content: list(['x']) },
      ),
      'ARCHIVE_INVALID',
    ],
    [
      'links in a circle',
      tar(
        { path: 'config.json', content: config.bytes },
        { path: 'x', type: 'symlink', linkTarget: 'y' },
        { path: 'y', type: 'symlink', linkTarget: 'x' },
        { path: 'manifest.json', content: list(['x']) },
      ),
      'ARCHIVE_INVALID',
    ],
    ['a tar of something else', tar({ path: 'readme', content: 'x' }), 'ARCHIVE_INVALID'],
    ['no tar', Buffer.alloc(2000, 'x'), 'ARCHIVE_INVALID'],
    ['a broken list', tar({ path: 'manifest.json', content: '{}' }), 'ARCHIVE_INVALID'],
    ['broken gzip', gzipSync(tar({ path: 'x' })).subarray(0, 30), 'ARCHIVE_INVALID'],
    ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0]), 'UNSUPPORTED'],
  ])('refuses %s', async (_what, bytes, code) => {
    const path = fresh()
    await writeFile(path, bytes)
    await expect(openArchive(path, { temporary: folder }, ctx)).rejects.toMatchObject({ code })
    expect((await readdir(folder)).filter(entry => entry.includes('.load-'))).toEqual([])
  })

  it('fails on a flipped bit when the blob is read', async () => {
    const path = await save([{ name, descriptor: index.descriptor }])
    const bytes = await readFile(path)
    const at = bytes.indexOf(images[0]!.layer.bytes)
    bytes[at + 520] = bytes[at + 520]! ^ 1
    await writeFile(path, bytes)
    await opened(path, async archive => {
      const copying = copyImage(archive, fullName, memoryEnd(), fullName, {}, ctx)
      await expect(copying).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    })
  })

  it.each([
    [{ 'org.opencontainers.image.ref.name': 'v1' }, undefined, 'v1'],
    [{ 'org.opencontainers.image.ref.name': 'registry.local/k3s:v1' }, fullName, undefined],
    [
      { 'io.containerd.image.name': 'docker.io/library/a:1', 'org.opencontainers.image.ref.name': '1' },
      'docker.io/library/a:1',
      undefined,
    ],
    [{}, undefined, undefined],
  ])('reads the name in %o', async (annotations, expected, tag) => {
    const { manifest } = images[0]!
    const layout = JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest.descriptor, annotations }] })
    const path = fresh()
    await writeFile(path, tar({ path: 'oci-layout', content: '{}' }, { path: 'index.json', content: layout }))
    await opened(path, async archive => {
      expect(archive.names()).toMatchObject([
        { name: expected, tag, descriptor: { digest: manifest.descriptor.digest } },
      ])
    })
  })

  it('says what is missing in it', async () => {
    const layout = JSON.stringify({ schemaVersion: 2, manifests: [index.descriptor] })
    const path = fresh()
    await writeFile(path, tar({ path: 'oci-layout', content: '{}' }, { path: 'index.json', content: layout }))
    await opened(path, async archive => {
      const copying = copyImage(archive, index.descriptor.digest, memoryEnd(), 'x', {}, ctx)
      await expect(copying).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
      expect(digestOf(index.bytes)).toBe(index.descriptor.digest)
    })
  })
})
