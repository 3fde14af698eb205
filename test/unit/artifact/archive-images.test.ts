import { writeFile } from 'node:fs/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkImageList, listArchiveImages, parseReleaseImages } from '../../../src/artifact/archive-images.ts'
import { testContext } from '../../support/test-context.ts'
import { dockerArchive, images, tarOf, Workbench } from './release-fixture.ts'

let bench: Workbench

beforeEach(async () => {
  bench = await Workbench.open()
})
afterEach(async () => {
  await bench.dispose()
})

async function list(content: Buffer): Promise<readonly string[]> {
  await writeFile(bench.path('archive'), content)
  return listArchiveImages(bench.path('archive'), testContext())
}

const descriptor = (annotations: Record<string, string>): object => ({
  mediaType: 'm',
  digest: 'd',
  size: 1,
  annotations,
})
const indexJson = JSON.stringify({
  schemaVersion: 2,
  manifests: [
    descriptor({
      'io.containerd.image.name': 'docker.io/rancher/mirrored-pause:3.6',
      'org.opencontainers.image.ref.name': '3.6',
    }),
    descriptor({ 'org.opencontainers.image.ref.name': 'docker.io/rancher/klipper-lb:v0.4.9' }),
    descriptor({}),
    { mediaType: 'm', digest: 'd', size: 1 },
  ],
})

it.each([
  ['plain', (tar: Buffer) => tar],
  ['gzip', (tar: Buffer) => gzipSync(tar)],
  ['zstd', (tar: Buffer) => zstdCompressSync(tar)],
])('lists the images of a %s archive by content, not by name', async (_name, pack) => {
  expect(await list(pack(dockerArchive()))).toEqual(images)
})

describe('names', () => {
  it('of docker-archive are made full, sorted and told once', async () => {
    const manifest = JSON.stringify([
      { RepoTags: ['rancher/b:1', 'alpine'] },
      { RepoTags: ['rancher/b:1'] },
      { RepoTags: null },
    ])
    expect(await list(tarOf({ './manifest.json': manifest }))).toEqual([
      'docker.io/library/alpine:latest',
      'docker.io/rancher/b:1',
    ])
  })

  it('of an OCI layout come from its index, whatever manifest.json says', async () => {
    const tar = tarOf({ 'manifest.json': '[{"RepoTags":["other:1"]}]', 'oci-layout': '{}', 'index.json': indexJson })
    expect(await list(tar)).toEqual(['docker.io/rancher/klipper-lb:v0.4.9', 'docker.io/rancher/mirrored-pause:3.6'])
  })
})

it.each([
  ['no tar', Buffer.from('hello'.repeat(300)), 'ARCHIVE_INVALID', /not a tar archive/],
  ['no images', tarOf({ 'readme.txt': 'x' }), 'ARCHIVE_INVALID', /neither index.json nor manifest.json/],
  ['broken JSON', tarOf({ 'manifest.json': '[{' }), 'ARCHIVE_INVALID', /manifest.json: not JSON/],
  ['another shape', tarOf({ 'index.json': '{"manifests":1}' }), 'ARCHIVE_INVALID', /index.json: manifests/],
  ['a cut', zstdCompressSync(dockerArchive()).subarray(0, 60), 'ARCHIVE_INVALID', /ends early/],
  [
    'a huge manifest',
    tarOf({ 'manifest.json': ' '.repeat(5 * 1024 * 1024) }),
    'UNSAFE_ARCHIVE',
    /manifest.json has 5242880 bytes/,
  ],
])('refuses an archive with %s', async (_name, content, code, message) => {
  await expect(list(content)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string })
})

it('stops when cancelled', async () => {
  await writeFile(bench.path('archive'), dockerArchive())
  const ctx = testContext()
  ctx.abort()
  await expect(listArchiveImages(bench.path('archive'), ctx)).rejects.toMatchObject({ name: 'AbortError' })
})

describe('checkImageList', () => {
  it('is content with the same images in another order and spelling', () => {
    expect(() => checkImageList(['rancher/mirrored-pause:3.6', images[0]!], images, 'a.tar')).not.toThrow()
  })

  it.each([
    [
      'the archive lacks',
      [...images, 'docker.io/rancher/x:1'],
      images,
      'comparing a.tar with its image list: the archive lacks "docker.io/rancher/x:1"',
    ],
    ['the list lacks', images.slice(1), images, `comparing a.tar with its image list: the list lacks "${images[0]}"`],
  ])('names what %s', (_name, listed, archived, message) => {
    expect(() => checkImageList(listed, archived, 'a.tar')).toThrow(
      expect.objectContaining({ code: 'ARCHIVE_INVALID', message }),
    )
  })
})

it('reads an image list', () => {
  expect(parseReleaseImages('a:1\r\n\n# no\n b:2 \n')).toEqual(['a:1', 'b:2'])
})
