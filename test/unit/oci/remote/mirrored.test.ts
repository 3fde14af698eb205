import { buffer } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import { mirroredSource } from '../../../../src/oci/remote/mirrored.ts'
import type { TestServer } from '../../../support/http-server.ts'
import { sampleImage } from '../../../support/sample-image.ts'
import {
  type Answer,
  lines,
  plain,
  refusal,
  repositoryAt,
  scriptedRegistry,
} from '../../../support/scripted-registry.ts'
import { testContext } from '../../../support/test-context.ts'

const servers: TestServer[] = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map(server => server.close()))
})

const { manifest, layer } = sampleImage('amd64')
const manifestPath = 'GET /v2/r/x/manifests/'
const blobPath = 'GET /v2/r/x/blobs/'

async function serve(answers: Readonly<Record<string, Answer>>): Promise<TestServer> {
  const server = await scriptedRegistry(answers)
  servers.push(server)
  return server
}

const whole = (): Promise<TestServer> =>
  serve({
    [manifestPath]: plain(200, manifest.bytes, { 'content-type': manifest.descriptor.mediaType }),
    [blobPath]: plain(200, layer.bytes),
    'GET /v2/r/x/referrers/': plain(404),
  })

describe('an image behind a mirror', () => {
  it('is read from it alone where it has all', async () => {
    const [mirror, origin] = [await whole(), await whole()]
    const source = mirroredSource([repositoryAt(mirror)], repositoryAt(origin))
    expect(await source.resolve('v1', testContext())).toEqual(manifest.descriptor)
    expect(await buffer(await source.open(layer.descriptor, testContext()))).toEqual(layer.bytes)
    expect(lines(origin)).toEqual([])
    expect(source.place).toEqual({ registry: origin.host, repository: 'r/x' })
  })

  it('is read from the registry where the mirror lacks it, and the mirror is asked for the next thing', async () => {
    const mirror = await serve({ [manifestPath]: plain(404), [blobPath]: plain(200, layer.bytes) })
    const origin = await whole()
    const ctx = testContext()
    const source = mirroredSource([repositoryAt(mirror)], repositoryAt(origin))
    expect(await source.resolve('v1', ctx)).toEqual(manifest.descriptor)
    expect(await buffer(await source.open(layer.descriptor, ctx))).toEqual(layer.bytes)
    expect(lines(origin)).toEqual(['GET /v2/', `${manifestPath}v1`])
    expect(ctx.seen).toEqual([])
  })

  it.each([
    ['is out of order', plain(500)],
    ['wants a login', refusal(401, 'UNAUTHORIZED')],
    ['sends nonsense', plain(200, 'no JSON', { 'content-type': manifest.descriptor.mediaType })],
  ])('is read from the registry where the mirror %s, which is told once', async (_what, answer) => {
    const mirror = await serve({ [manifestPath]: answer, [blobPath]: answer })
    const origin = await whole()
    const ctx = testContext()
    const source = mirroredSource([repositoryAt(mirror, { retry: { attempts: 1 } })], repositoryAt(origin))
    expect(await source.resolve('v1', ctx)).toEqual(manifest.descriptor)
    expect(await buffer(await source.open(layer.descriptor, ctx))).toEqual(layer.bytes)
    expect(ctx.seen).toMatchObject([{ kind: 'warning', code: 'mirror', message: expect.stringContaining(mirror.host) }])
    expect(lines(mirror).filter(line => line.startsWith(blobPath))).toEqual([])
  })

  it('is read from the registry where nothing answers at the mirror', async () => {
    const gone = await serve({})
    await gone.close()
    const origin = await whole()
    const source = mirroredSource([repositoryAt(gone, { retry: { attempts: 1 } })], repositoryAt(origin))
    expect(await source.resolve('v1', testContext())).toEqual(manifest.descriptor)
  })

  it('is not found where none has it', async () => {
    const [mirror, origin] = [await serve({ [manifestPath]: plain(404) }), await serve({ [manifestPath]: plain(404) })]
    const source = mirroredSource([repositoryAt(mirror)], repositoryAt(origin))
    expect(await source.resolve('v1', testContext())).toBeUndefined()
  })
})
