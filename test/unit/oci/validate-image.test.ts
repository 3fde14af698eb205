import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { mediaTypes } from '../../../src/oci/descriptor.ts'
import { validateImage } from '../../../src/oci/validate-image.ts'
import { type MemoryEnd, memoryEnd } from '../../support/memory-end.ts'
import { jsonSample, type Sample, sample, sampleIndex } from '../../support/sample-image.ts'
import { testContext } from '../../support/test-context.ts'

interface Parts {
  readonly layer?: Sample
  readonly diffIds?: readonly string[]
  readonly history?: readonly object[]
  readonly architecture?: string
}

const tar = sample(Buffer.alloc(10_240, 'a tar'))

function image({ layer = tar, diffIds = [tar.descriptor.digest], history, architecture = 'amd64' }: Parts) {
  const config = jsonSample(
    { os: 'linux', architecture, rootfs: { type: 'layers', diff_ids: diffIds }, ...(history && { history }) },
    mediaTypes.config,
  )
  const manifest = jsonSample(
    { schemaVersion: 2, mediaType: mediaTypes.manifest, config: config.descriptor, layers: [layer.descriptor] },
    mediaTypes.manifest,
  )
  const entry = { ...manifest.descriptor, platform: { os: 'linux', architecture: 'amd64' } }
  const index = jsonSample({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [entry] }, mediaTypes.index)
  return { index, all: [layer, config, manifest, index] }
}

async function faultsOf(parts: Parts, change: (blobs: MemoryEnd['blobs']) => void = () => undefined) {
  const { index, all } = image(parts)
  const end = memoryEnd(all)
  change(end.blobs)
  return (await validateImage(end, index.descriptor, {}, testContext())).faults.map(({ why }) => why)
}

describe('an image', () => {
  it('is sound where all of it is', async () => {
    const { index, all } = sampleIndex(['amd64', 'arm64'])
    const result = await validateImage(memoryEnd(all), index.descriptor, {}, testContext())
    expect(result).toMatchObject({ documents: 3, blobs: 4, faults: [] })
  })

  it('is sound with packed layers', async () => {
    expect(await faultsOf({ layer: sample(gzipSync(tar.bytes), mediaTypes.layerGzip) })).toEqual([])
  })

  it.each<[string, Parts, RegExp]>([
    ['a packed layer is another tar', { layer: sample(gzipSync('other'), mediaTypes.layerGzip) }, /unpacks to sha256:/],
    ['a layer is no gzip', { layer: sample('no gzip', mediaTypes.layerGzip) }, /broken gzip data/],
    ['a plain layer is not its diff_id', { diffIds: [`sha256:${'0'.repeat(64)}`] }, /unpacks to sha256:/],
    ['the config has too few layers', { diffIds: [] }, /1 layers, its config 0 diff_ids/],
    ['the history tells of others', { history: [{}, {}, { empty_layer: true }] }, /history tells of 2 layers/],
    ['it is for another platform', { architecture: 'arm64' }, /the index has it for linux\/amd64/],
  ])('is not where %s', async (_what, parts, why) => {
    expect(await faultsOf(parts)).toEqual(expect.arrayContaining([expect.stringMatching(why)]))
  })

  it('is not where a blob rotted, or is gone', async () => {
    const { digest } = tar.descriptor
    expect(await faultsOf({}, blobs => blobs.set(digest, Buffer.alloc(10_240, 'rot')))).toEqual([
      expect.stringContaining(`wanted ${digest}`),
    ])
    expect(await faultsOf({}, blobs => blobs.delete(digest))).toEqual([expect.stringContaining('not in memory')])
  })

  it('is only asked for where that is wanted', async () => {
    const { index, all } = image({})
    const end = memoryEnd(all)
    end.blobs.set(tar.descriptor.digest, Buffer.from('rot'))
    expect((await validateImage(end, index.descriptor, { fast: true }, testContext())).faults).toEqual([])
    end.blobs.delete(tar.descriptor.digest)
    expect((await validateImage(end, index.descriptor, { fast: true }, testContext())).faults).toHaveLength(1)
  })
})
