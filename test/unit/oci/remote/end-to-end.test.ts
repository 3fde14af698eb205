import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/digest.ts'
import { parseReference } from '../../../../src/core/reference.ts'
import { copyImage } from '../../../../src/oci/copy.ts'
import { mediaTypes } from '../../../../src/oci/descriptor.ts'
import type { Credentials } from '../../../../src/oci/remote/credential.ts'
import { type RemoteRepository, remoteRepository } from '../../../../src/oci/remote/registry.ts'
import { type RunningRegistry, serveRegistry } from '../../../../src/oci/serve/serve.ts'
import { usersOf } from '../../../../src/oci/serve/users.ts'
import { memoryStore, type MemoryStore } from '../../../support/memory-store.ts'
import { jsonSample, sampleIndex } from '../../../support/sample-image.ts'
import { testContext } from '../../../support/test-context.ts'
import { anonymous } from '../../../../src/oci/remote/credential.ts'

let store: MemoryStore
let registry: RunningRegistry
let ctx: ReturnType<typeof testContext>

beforeEach(async () => {
  store = memoryStore()
  registry = await serveRegistry({ store })
  ctx = testContext()
})

afterEach(async () => {
  await registry.close()
})

function repository(path: string, credentials: Credentials = anonymous): RemoteRepository {
  return remoteRepository(parseReference(`${registry.host}/${path}`), { credentials, retry: { delayMs: 1 } })
}

describe('a repository of the embedded registry', () => {
  const { index, images, all } = sampleIndex(['amd64', 'arm64'], Buffer.alloc(300_000, 'content'))

  async function push(path: string): Promise<void> {
    const target = repository(path)
    for (const { descriptor, source } of all) await target.write(descriptor, source, ctx)
    await target.tag('v1', index.descriptor, ctx)
  }

  it('takes an index with all below it and gives the same bytes back', async () => {
    await push('a/b')
    const from = repository('a/b')
    expect(await from.resolve('v1', ctx)).toEqual(index.descriptor)
    expect(await from.resolve(index.descriptor.digest, ctx)).toEqual(index.descriptor)
    for (const { descriptor, bytes } of all) {
      expect(await from.has(descriptor, ctx)).toBe(true)
      expect(await buffer(await from.open(descriptor, ctx))).toEqual(bytes)
    }
    expect(await Array.fromAsync(from.tags(ctx))).toEqual(['v1'])
    expect(ctx.seen).toEqual([])
  })

  it('knows what is there already', async () => {
    await push('a/b')
    for (const { descriptor, source } of all)
      expect(await repository('a/b').write(descriptor, source, ctx)).toBe('present')
  })

  it('is an end of copyImage, and mounts between repositories of one registry', async () => {
    await push('a/b')
    const copied = await copyImage(repository('a/b'), 'v1', repository('c'), 'v2', {}, ctx)
    expect(copied).toEqual(index.descriptor)
    expect(await repository('c').resolve('v2', ctx)).toEqual(index.descriptor)
  })

  it('reads ranges', async () => {
    await push('a/b')
    const { layer } = images[0]!
    const part = await repository('a/b').open(layer.descriptor, ctx, { offset: 1000, length: 2000 })
    expect(await buffer(part)).toEqual(layer.bytes.subarray(1000, 3000))
    const rest = await repository('a/b').open(layer.descriptor, ctx, { offset: layer.bytes.length - 10 })
    expect(await buffer(rest)).toEqual(layer.bytes.subarray(-10))
    const none = await repository('a/b').open(layer.descriptor, ctx, { offset: layer.bytes.length })
    expect(await buffer(none)).toHaveLength(0)
  })

  it('does not know what is not there', async () => {
    expect(await repository('a/b').resolve('v1', ctx)).toBeUndefined()
    expect(await repository('a/b').has(index.descriptor, ctx)).toBe(false)
    const { layer } = images[0]!
    expect(await repository('a/b').has(layer.descriptor, ctx)).toBe(false)
    await expect(repository('a/b').open(layer.descriptor, ctx)).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      message: expect.stringContaining('BLOB_UNKNOWN'),
      data: { side: 'source' },
    })
  })

  it('lists referrers by the API', async () => {
    await push('a/b')
    const { manifest, config } = images[0]!
    const sbom = jsonSample(
      {
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        artifactType: 'application/spdx+json',
        config: config.descriptor,
        layers: [],
        subject: manifest.descriptor,
      },
      mediaTypes.manifest,
    )
    await repository('a/b').write(sbom.descriptor, sbom.source, ctx)
    expect(await repository('a/b').referrers(manifest.descriptor.digest, ctx)).toMatchObject([
      { digest: sbom.descriptor.digest, artifactType: 'application/spdx+json' },
    ])
    expect([...store.names.keys()].some(name => name.includes(':sha256-'))).toBe(false)
  })

  it('fails where the stored bytes are not those of the digest', async () => {
    await push('a/b')
    const { layer } = images[0]!
    store.blobs.set(layer.descriptor.digest, Buffer.alloc(layer.bytes.length, 1))
    const reading = repository('a/b')
      .open(layer.descriptor, ctx)
      .then(stream => buffer(stream))
    await expect(reading).rejects.toMatchObject({ code: expect.stringMatching(/NETWORK|DIGEST_MISMATCH/) })
    const { manifest } = images[0]!
    store.blobs.set(manifest.descriptor.digest, index.bytes)
    await expect(repository('a/b').resolve(manifest.descriptor.digest, ctx)).rejects.toMatchObject({
      code: expect.stringMatching(/REGISTRY_ERROR|NETWORK|DIGEST_MISMATCH/),
    })
  })
})

describe('a registry with users', () => {
  const find = async (): ReturnType<Credentials['find']> => ({ kind: 'basic', username: 'u', password: 'p:w' })

  it('lets in who shows the right password', async () => {
    await registry.close()
    registry = await serveRegistry({ store, users: usersOf([{ username: 'u', password: 'p:w' }]) })
    expect(await repository('a', { find }).resolve('v1', ctx)).toBeUndefined()
    const wrong = async (): ReturnType<Credentials['find']> => ({ kind: 'basic', username: 'u', password: 'no' })
    await expect(repository('a', { find: wrong }).resolve('v1', ctx)).rejects.toMatchObject({
      code: 'REGISTRY_AUTH',
      hint: `log in with: cloudimg login ${registry.host}`,
    })
    await expect(repository('a').resolve('v1', ctx)).rejects.toMatchObject({ code: 'REGISTRY_AUTH' })
  })
})

it.each([
  ['fewer bytes', -1, 'SIZE_MISMATCH'],
  ['more bytes', 1, 'SIZE_MISMATCH'],
  ['other bytes', 0, 'REGISTRY_ERROR'],
])('refuses a source that gives %s than its descriptor says, and tries no second time', async (_what, more, code) => {
  const { layer } = sampleIndex(['amd64']).images[0]!
  const wrong = { ...layer.descriptor, digest: digestOf('else'), size: layer.descriptor.size - more }
  await expect(repository('a').write(wrong, layer.source, ctx)).rejects.toMatchObject({ code })
  expect(store.blobs.size).toBe(0)
  expect(ctx.seen).toEqual([])
})
