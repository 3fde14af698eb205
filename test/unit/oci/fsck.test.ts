import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Digest, digestOf, hexOf } from '../../../src/core/digest.ts'
import { mediaTypes } from '../../../src/oci/descriptor.ts'
import type { Fault } from '../../../src/oci/store/fsck/fault.ts'
import { checkStore } from '../../../src/oci/store/fsck/fsck.ts'
import { repairStore } from '../../../src/oci/store/fsck/repair.ts'
import { blobPath, recipePath, type StoreLayout } from '../../../src/oci/store/layout.ts'
import { openStore, type Store } from '../../../src/oci/store/store.ts'
import { jsonSample, sample, type Sample, sampleIndex } from '../../support/sample-image.ts'
import { testContext } from '../../support/test-context.ts'

const ctx = testContext()
let store: Store
let layout: StoreLayout

const { index, images, all } = sampleIndex(['amd64', 'arm64'])
const [image] = images
const { manifest, config, layer } = image!
const tar = Buffer.from('a layer that is a recipe')
const part = Buffer.from('layer that')
const recipe = digestOf(tar)
const signature = jsonSample(
  { schemaVersion: 2, config: config.descriptor, layers: [], subject: index.descriptor },
  mediaTypes.manifest,
)
const refFile = (): string => join(layout.refs, 'docker.io/library/a/_tags/1.json')
const referrerFile = (): string =>
  join(layout.refs, '_referrers', hexOf(index.descriptor.digest), `${hexOf(signature.descriptor.digest)}.json`)
const layerRecord = (): string => join(layout.cache, 'layers/key.json')
const at = (one: Sample): string => blobPath(layout, one.descriptor.digest)

beforeEach(async () => {
  store = await openStore(await mkdtemp(join(tmpdir(), 'cloudimg-fsck-')))
  layout = store.layout
  for (const { descriptor, source } of [...all, signature]) await store.write(descriptor, source, ctx)
  await store.tag('a:1', index.descriptor, ctx)
  const { digest } = await store.put(part, 'x')
  const segments = [
    { inline: Buffer.from('a ') },
    { blob: digest, offset: 0, length: part.length },
    { inline: Buffer.from(' is a recipe') },
  ]
  await store.putRecipe(recipe, { size: tar.length, segments })
  await mkdir(dirname(layerRecord()), { recursive: true })
  const record = { descriptor: layer.descriptor, diffId: layer.descriptor.digest, files: {}, provisional: false }
  await writeFile(layerRecord(), JSON.stringify(record))
})
afterEach(() => rm(layout.home, { recursive: true }))

async function kinds(): Promise<readonly string[]> {
  return (await checkStore(store, ctx)).faults.map(({ kind }) => kind)
}

async function put(...samples: readonly Sample[]): Promise<void> {
  for (const { descriptor, source } of samples) await store.write(descriptor, source, ctx)
}

describe('fsck', () => {
  it('finds nothing in a sound store, and says what it read', async () => {
    const { faults, checked, unfinished } = await checkStore(store, ctx)
    expect(faults).toEqual([])
    expect(checked).toMatchObject({ blobs: 9, recipes: 1, names: 1 })
    expect(unfinished).toEqual({ files: 0, bytes: 0 })
  })

  it('takes drafts and partial downloads for what they are', async () => {
    await writeFile(join(layout.temporary, `${process.pid}.x`), 'half')
    await writeFile(join(layout.downloads, 'x.part'), 'part')
    expect(await checkStore(store, ctx)).toMatchObject({ faults: [], unfinished: { files: 2, bytes: 8 } })
  })

  /** Those in `stay` are left after repair: only pulling or building again helps. */
  it.each<readonly [string, () => Promise<unknown>, readonly Fault['kind'][], readonly Fault['kind'][]]>([
    ['a changed layer', () => writeFile(at(layer), 'x'.repeat(layer.bytes.length)), ['broken', 'missing'], ['missing']],
    ['a cut layer', () => truncate(at(layer), 10), ['broken', 'missing'], ['missing']],
    ['a changed config', () => writeFile(at(config), '{}'), ['broken', 'missing'], ['missing']],
    ['a missing layer', () => rm(at(layer)), ['missing'], ['missing']],
    ['a missing manifest', () => rm(at(manifest)), ['missing'], ['missing']],
    ['a missing index', () => rm(at(index)), ['dangling'], []],
    ['a changed index', () => writeFile(at(index), '{}'), ['broken', 'dangling'], []],
    ['a blob that is a link', () => relink(at(layer)), ['broken', 'missing'], ['missing']],
    ['a missing part of a recipe', () => rm(blobPath(layout, digestOf(part))), ['broken'], []],
    [
      'a changed part of a recipe',
      () => writeFile(blobPath(layout, digestOf(part)), 'other that'),
      ['broken', 'broken'],
      [],
    ],
    [
      'a recipe that makes something else',
      () => editRecipe('"offset":0,"length":10', '"offset":1,"length":9'),
      ['broken'],
      [],
    ],
    ['a recipe that takes too much', () => editRecipe('"length":10', '"length":11'), ['broken'], []],
    ['a recipe of another size', () => editRecipe(`"size":${tar.length}`, '"size":5'), ['broken'], []],
    ['a recipe that is none', () => writeFile(recipePath(layout, recipe), 'x'), ['broken'], []],
    ['a name that cannot be read', () => writeFile(refFile(), '{'), ['dangling'], []],
    [
      'a name in the place of another',
      () => rename(refFile(), refFile().replace('1.json', '2.json')),
      ['dangling'],
      [],
    ],
    ['a stray file among the blobs', () => writeFile(join(layout.blobs, '.x.tmp'), 'x'), ['stray'], []],
    ['a stray file among the recipes', () => writeFile(join(layout.recipes, 'x'), 'x'), ['stray'], []],
    ['a stray file among the names', () => writeFile(join(layout.refs, 'x.json'), 'x'), ['stray'], []],
    ['a referrer that is gone', () => rm(at(signature)), ['dangling'], []],
    ['a referrer entry that cannot be read', () => writeFile(referrerFile(), 'x'), ['dangling'], []],
    ['a cache record that cannot be read', () => writeFile(layerRecord(), 'x'), ['dangling'], []],
    ['a cache record without a layer', () => writeFile(layerRecord(), '{}'), ['dangling'], []],
  ])('finds %s, and repairs what can be', async (_, damage, found, stay) => {
    await damage()
    const { faults } = await checkStore(store, ctx)
    expect(faults.map(({ kind }) => kind).sort()).toEqual([...found].sort())
    const cured = await repairStore(layout, faults, ctx)
    expect(faults.length - cured.length).toBe(stay.length)
    expect(await kinds()).toEqual(stay)
    const aside = await readdir(layout.quarantine).catch(() => [])
    expect(aside.length > 0).toBe(cured.length > 0)
  })

  it('names the images that suffer, each fault once', async () => {
    await store.tag('b:1', manifest.descriptor, ctx)
    await rm(at(layer))
    expect((await checkStore(store, ctx)).faults).toEqual([
      {
        kind: 'missing',
        digest: layer.descriptor.digest,
        message: `layer ${layer.descriptor.digest}: missing`,
        names: ['docker.io/library/a:1', 'docker.io/library/b:1'],
      },
    ])
  })

  it('leaves alone what was written anew since it was looked at', async () => {
    await writeFile(at(layer), 'x')
    const { faults } = await checkStore(store, ctx)
    await writeFile(at(layer), layer.bytes)
    await repairStore(layout, faults, ctx)
    expect(await kinds()).toEqual([])
  })

  it('after a repair the same write makes it whole', async () => {
    await writeFile(at(layer), 'x'.repeat(layer.bytes.length))
    await repairStore(layout, (await checkStore(store, ctx)).faults, ctx)
    await put(layer)
    expect(await kinds()).toEqual([])
  })
})

describe('diff_ids', () => {
  const plain = Buffer.alloc(100_000, 'plain ')
  const packs: readonly (readonly [string, Buffer, string])[] = [
    ['gzip', gzipSync(plain), mediaTypes.layerGzip],
    ['zstd', zstdCompressSync(plain), mediaTypes.layerZstd],
    ['plain', plain, mediaTypes.layer],
    ['docker’s gzip', gzipSync(plain), mediaTypes.dockerLayerGzip],
  ]

  async function tagImage(packed: Sample, diffIds: readonly Digest[]): Promise<void> {
    const body = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: diffIds } }
    const own = jsonSample(body, mediaTypes.config)
    const document = { schemaVersion: 2, config: own.descriptor, layers: [packed.descriptor] }
    const whole = jsonSample(document, mediaTypes.manifest)
    await put(packed, own, whole)
    await store.tag('b:1', whole.descriptor, ctx)
  }

  it.each(packs)('are recomputed: %s', async (_, bytes, mediaType) => {
    await tagImage(sample(bytes, mediaType), [digestOf(plain)])
    expect(await kinds()).toEqual([])
    await tagImage(sample(bytes, mediaType), [digestOf('else')])
    const { faults } = await checkStore(store, ctx)
    expect(faults).toMatchObject([{ kind: 'inconsistent', names: ['docker.io/library/b:1'] }])
    expect(faults[0]?.message).toContain(`wanted diff_id ${digestOf('else')}, found ${digestOf(plain)}`)
  })

  it('that are too many, and layers that cannot be unpacked, are told of', async () => {
    await tagImage(sample(gzipSync(plain), mediaTypes.layerGzip), [digestOf(plain), digestOf(plain)])
    expect(await kinds()).toEqual(['inconsistent'])
    await tagImage(sample('no gzip', mediaTypes.layerGzip), [digestOf(plain)])
    expect(await kinds()).toEqual(['inconsistent'])
  })

  it('of a cached layer are compared with its record', async () => {
    const packed = sample(gzipSync(plain), mediaTypes.layerGzip)
    await put(packed)
    const record = (diffId: Digest): Promise<void> =>
      writeFile(layerRecord(), JSON.stringify({ descriptor: packed.descriptor, diffId, files: {}, provisional: false }))
    await record(digestOf(plain))
    expect(await kinds()).toEqual([])
    await record(digestOf('else'))
    expect(await kinds()).toEqual(['dangling'])
  })
})

async function relink(path: string): Promise<void> {
  await rename(path, `${layout.temporary}/moved`)
  await symlink(`${layout.temporary}/moved`, path)
}

async function editRecipe(from: string, to: string): Promise<void> {
  const text = await readFile(recipePath(layout, recipe), 'utf8')
  expect(text).toContain(from)
  await writeFile(recipePath(layout, recipe), text.replace(from, to))
}
