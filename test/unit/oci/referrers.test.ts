import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseReference } from '../../../src/core/reference.ts'
import { copyImage } from '../../../src/oci/copy.ts'
import { mediaTypes } from '../../../src/oci/descriptor.ts'
import { remoteRepository } from '../../../src/oci/remote/registry.ts'
import { serveStore } from '../../../src/oci/serve/store-adapter.ts'
import { serveRegistry } from '../../../src/oci/serve/serve.ts'
import { openStore, type Store } from '../../../src/oci/store/store.ts'
import { memoryEnd } from '../../support/memory-end.ts'
import { jsonSample, sampleIndex } from '../../support/sample-image.ts'
import { testContext } from '../../support/test-context.ts'
import { anonymous } from '../../../src/oci/remote/credential.ts'

const ctx = testContext()
const { index, images, all } = sampleIndex(['amd64', 'arm64'])

const about = (subject: (typeof all)[number], by: string): (typeof all)[number] =>
  jsonSample(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: 'application/spdx+json',
      config: images[0]!.config.descriptor,
      layers: [],
      subject: subject.descriptor,
      annotations: { by },
    },
    mediaTypes.manifest,
  )
const ofIndex = about(index, 'a')
const ofImage = about(images[1]!.manifest, 'b')
const listed = (one: typeof ofIndex, by: string): object => ({
  ...one.descriptor,
  artifactType: 'application/spdx+json',
  annotations: { by },
})

let home: string
let store: Store
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudimg-referrers-'))
  store = await openStore(home)
})
afterEach(async () => {
  await rm(home, { recursive: true })
})

describe('what refers to an image', () => {
  it('goes along from end to end: memory, store, registry, store', async () => {
    const source = memoryEnd([...all, ofIndex, ofImage])
    source.names.set('x', index.descriptor)
    source.referring.set(index.descriptor.digest, [ofIndex.descriptor])
    source.referring.set(images[1]!.manifest.descriptor.digest, [ofImage.descriptor])
    await copyImage(source, 'x', store, 'registry.local/x:v1', {}, ctx)

    const served = serveStore(await openStore(join(home, 'served')))
    const registry = await serveRegistry({ store: served })
    const repository = remoteRepository(parseReference(`${registry.host}/x`), { credentials: { ...anonymous } })
    await copyImage(store, 'registry.local/x:v1', repository, 'v1', {}, ctx)
    const second = await openStore(join(home, 'second'))
    await copyImage(repository, 'v1', second, 'registry.local/x:v1', {}, ctx)
    await registry.close()

    for (const end of [store, second]) {
      expect(await end.referrers(index.descriptor.digest, ctx)).toEqual([listed(ofIndex, 'a')])
      expect(await end.referrers(images[1]!.manifest.descriptor.digest, ctx)).toEqual([listed(ofImage, 'b')])
      expect(await end.referrers(images[0]!.manifest.descriptor.digest, ctx)).toEqual([])
    }
    expect((await second.refs()).map(({ name }) => name)).toEqual(['registry.local/x:v1'])
  })

  it('is listed for a document that was there before', async () => {
    await store.put(ofIndex.bytes, mediaTypes.manifest)
    expect(await store.referrers(index.descriptor.digest, ctx)).toEqual([])
    expect(await store.write(ofIndex.descriptor, ofIndex.source, ctx)).toBe('present')
    expect(await store.referrers(index.descriptor.digest, ctx)).toEqual([listed(ofIndex, 'a')])
  })

  it('is listed no more once it is gone', async () => {
    await store.write(ofIndex.descriptor, ofIndex.source, ctx)
    await rm(join(home, 'blobs'), { recursive: true })
    expect(await store.referrers(index.descriptor.digest, ctx)).toEqual([])
  })
})
