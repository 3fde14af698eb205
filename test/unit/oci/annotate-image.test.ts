import { describe, expect, it } from 'vitest'
import { parsePlatform } from '../../../src/core/platform.ts'
import { annotateImage, type Annotations, type AnnotateWhat } from '../../../src/oci/annotate-image.ts'
import { isManifestType } from '../../../src/oci/descriptor.ts'
import { type MemoryEnd, memoryEnd } from '../../support/memory-end.ts'
import { jsonSample, sampleIndex } from '../../support/sample-image.ts'
import { testContext } from '../../support/test-context.ts'

const sample = sampleIndex(['amd64', 'arm64'])
const root = sample.index.descriptor

interface Document {
  readonly annotations?: Readonly<Record<string, string>>
  readonly manifests?: readonly { readonly digest: `sha256:${string}`; readonly platform: object }[]
}

function read(end: MemoryEnd, digest: string): Document {
  return JSON.parse(end.blobs.get(digest as `sha256:${string}`)!.toString()) as Document
}

async function annotated(annotations: Annotations, what: AnnotateWhat) {
  const end = memoryEnd(sample.all)
  const result = await annotateImage(end, root, annotations, what, 'v1', testContext())
  expect(end.names.get('v1')?.digest).toBe(result.digest)
  const index = read(end, result.digest)
  return { end, result, index, manifests: (index.manifests ?? []).map(({ digest }) => read(end, digest).annotations) }
}

describe('annotations', () => {
  it('go to the index alone', async () => {
    const { index, manifests } = await annotated({ a: '1', b: '2' }, 'root')
    expect(index.annotations).toEqual({ a: '1', b: '2' })
    expect(manifests).toEqual([undefined, undefined])
  })

  it('go to one platform, whose entry keeps what it says beside digest and size', async () => {
    const { index, manifests } = await annotated({ a: '1' }, [parsePlatform('arm64')])
    expect(index.annotations).toBeUndefined()
    expect(manifests).toEqual([undefined, { a: '1' }])
    expect(index.manifests?.map(({ platform }) => platform)).toEqual([
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
    ])
  })

  it('go to all', async () => {
    const { index, manifests } = await annotated({ a: '1' }, 'all')
    expect([index.annotations, ...manifests]).toEqual([{ a: '1' }, { a: '1' }, { a: '1' }])
  })

  it('leave the digest alone where nothing changes', async () => {
    expect((await annotated({ a: undefined }, 'all')).result).toEqual(root)
  })

  it('are removed, and fields that we do not know stay', async () => {
    const [image] = sample.images
    const mediaType = image!.manifest.descriptor.mediaType
    const strange = {
      ...(JSON.parse(image!.manifest.bytes.toString()) as object),
      future: { x: [1] },
      annotations: { a: '1', b: '2' },
    }
    const manifest = jsonSample(strange, mediaType)
    const end = memoryEnd([...image!.all, manifest])
    const result = await annotateImage(end, manifest.descriptor, { a: undefined, c: '3' }, 'root', 'v1', testContext())
    expect(read(end, result.digest)).toEqual({ ...strange, annotations: { b: '2', c: '3' } })
    expect(isManifestType(result.mediaType)).toBe(true)
  })

  it('are refused for a platform that there is not, and nothing is named', async () => {
    const end = memoryEnd(sample.all)
    const annotating = annotateImage(end, root, { a: '1' }, [parsePlatform('s390x')], 'v1', testContext())
    await expect(annotating).rejects.toMatchObject({ code: 'PLATFORM_MISSING' })
    expect(end.names.size).toBe(0)
  })
})
