import { buffer } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/digest.ts'
import { mediaTypes } from '../../../../src/oci/descriptor.ts'
import type { TestServer } from '../../../support/http-server.ts'
import { jsonSample, sample, sampleImage } from '../../../support/sample-image.ts'
import { type Answer, lines, plain, repositoryAt, scriptedRegistry } from '../../../support/scripted-registry.ts'
import { testContext } from '../../../support/test-context.ts'

const servers: TestServer[] = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map(server => server.close()))
})

async function serve(answers: Readonly<Record<string, Answer>>): Promise<TestServer> {
  const server = await scriptedRegistry(answers)
  servers.push(server)
  return server
}

const image = sampleImage('amd64')
const { manifest } = image
const asManifest = { 'content-type': mediaTypes.manifest }

describe('resolve', () => {
  it('asks for all forms that can be read, and computes the descriptor itself', async () => {
    const server = await serve({ 'GET /v2/r/x/manifests/v1': plain(200, manifest.bytes, asManifest) })
    expect(await repositoryAt(server).resolve('v1', testContext())).toEqual(manifest.descriptor)
    expect(server.seen.at(-1)?.headers.accept?.split(', ')).toEqual([
      mediaTypes.index,
      mediaTypes.manifest,
      mediaTypes.dockerIndex,
      mediaTypes.dockerManifest,
    ])
  })

  it('needs no second request to read what it resolved', async () => {
    const server = await serve({ 'GET /v2/r/x/manifests/v1': plain(200, manifest.bytes, asManifest) })
    const repository = repositoryAt(server)
    const descriptor = await repository.resolve('v1', testContext())
    expect(await buffer(await repository.open(descriptor!, testContext()))).toEqual(manifest.bytes)
    expect(lines(server)).toHaveLength(2)
  })

  const index = { schemaVersion: 2, manifests: [] }
  it.each([
    [
      'another digest in the header',
      manifest.bytes,
      { ...asManifest, 'docker-content-digest': digestOf('x') },
      'DIGEST_MISMATCH',
    ],
    ['another media type than it says', manifest.bytes, { 'content-type': mediaTypes.index }, 'IMAGE_INVALID'],
    [
      'an index by the fields of a manifest',
      JSON.stringify({ ...index, mediaType: mediaTypes.manifest }),
      asManifest,
      'IMAGE_INVALID',
    ],
    [
      'both kinds in one',
      JSON.stringify({ ...index, layers: [] }),
      { 'content-type': mediaTypes.index },
      'IMAGE_INVALID',
    ],
    ['a page of HTML', '<html>', { 'content-type': 'text/html' }, 'IMAGE_INVALID'],
    ['another JSON', '{}', { 'content-type': 'application/json' }, 'IMAGE_INVALID'],
    [
      'the old schema 1',
      '{"schemaVersion":1,"fsLayers":[]}',
      { 'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws' },
      'IMAGE_INVALID',
    ],
    ['more than 4 MiB', Buffer.alloc(4 * 1024 * 1024 + 1, 32), asManifest, 'SIZE_MISMATCH'],
  ])('refuses %s', async (_what, body, headers, code) => {
    const server = await serve({ 'GET /v2/r/x/manifests/v1': plain(200, body, headers) })
    await expect(repositoryAt(server).resolve('v1', testContext())).rejects.toMatchObject({ code })
  })

  it('goes by what the document says where the header says nothing', async () => {
    const headers = { 'content-type': 'text/plain; charset=utf-8' }
    const server = await serve({ 'GET /v2/r/x/manifests/v1': plain(200, manifest.bytes, headers) })
    expect(await repositoryAt(server).resolve('v1', testContext())).toEqual(manifest.descriptor)
  })

  it('refuses other bytes than those of the digest', async () => {
    const server = await serve({ 'GET /v2/r/x/manifests/sha256': plain(200, manifest.bytes, asManifest) })
    await expect(repositoryAt(server).resolve(digestOf('x'), testContext())).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
    })
  })
})

describe('write', () => {
  const to = `/v2/r/x/manifests/${manifest.descriptor.digest}`

  it('puts the very bytes under their digest, and the name after them', async () => {
    const server = await serve({ [`HEAD ${to}`]: plain(404), 'PUT /v2/r/x/manifests/': plain(201) })
    const repository = repositoryAt(server)
    expect(await repository.write(manifest.descriptor, manifest.source, testContext())).toBe('written')
    await repository.tag('v1', manifest.descriptor, testContext())
    expect(lines(server).slice(1)).toEqual([`HEAD ${to}`, `PUT ${to}`, 'PUT /v2/r/x/manifests/v1'])
    for (const put of server.seen.slice(2)) {
      expect(put.body).toEqual(manifest.bytes)
      expect(put.headers['content-type']).toBe(mediaTypes.manifest)
    }
  })

  it('puts nothing that is there', async () => {
    const server = await serve({ [`HEAD ${to}`]: plain(200) })
    expect(await repositoryAt(server).write(manifest.descriptor, manifest.source, testContext())).toBe('present')
  })

  it('puts nothing that is not what its descriptor says', async () => {
    const server = await serve({})
    const writing = repositoryAt(server).write(manifest.descriptor, image.config.source, testContext())
    await expect(writing).rejects.toMatchObject({ code: 'SIZE_MISMATCH' })
    expect(server.seen).toHaveLength(0)
  })

  it('notices a registry that keeps other bytes', async () => {
    const kept = plain(201, '', { 'docker-content-digest': digestOf('x') })
    const server = await serve({ [`HEAD ${to}`]: plain(404), [`PUT ${to}`]: kept })
    const writing = repositoryAt(server).write(manifest.descriptor, manifest.source, testContext())
    await expect(writing).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })
})

describe('referrers', () => {
  const subject = manifest.descriptor
  const tag = `/v2/r/x/manifests/${subject.digest.replace(':', '-')}`
  const signature = jsonSample(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: { ...image.config.descriptor, mediaType: 'application/x.signature' },
      layers: [],
      subject,
      annotations: { by: 'me' },
    },
    mediaTypes.manifest,
  )
  const listed = { ...signature.descriptor, annotations: { by: 'me' }, artifactType: 'application/x.signature' }
  const put = `PUT /v2/r/x/manifests/${signature.descriptor.digest}`
  const asIndex = { 'content-type': mediaTypes.index }
  const indexOf = (...manifests: readonly unknown[]): string =>
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests })

  async function write(answers: Readonly<Record<string, Answer>>): Promise<TestServer> {
    const server = await serve({ 'PUT /v2/r/x/manifests/': plain(201), ...answers })
    await repositoryAt(server).write(signature.descriptor, signature.source, testContext())
    return server
  }

  it('are left to a registry that says it listed them and does', async () => {
    const server = await write({
      [put]: plain(201, '', { 'oci-subject': subject.digest }),
      'GET /v2/r/x/referrers/': plain(200, indexOf(listed), asIndex),
    })
    expect(lines(server).filter(line => line.startsWith('PUT'))).toEqual([put])
  })

  it.each([
    ['says nothing', plain(201)],
    ['says so and has no API', plain(201, '', { 'oci-subject': subject.digest })],
  ])('are listed under the fallback tag where the registry %s', async (_what, answer) => {
    const server = await write({ [put]: answer, 'GET /v2/r/x/referrers/': plain(404), [`GET ${tag}`]: plain(404) })
    const last = server.seen.at(-1)!
    expect(`${last.method} ${last.path}`).toBe(`PUT ${tag}`)
    expect(JSON.parse(last.body.toString())).toEqual(JSON.parse(indexOf(listed)))
  })

  it('are added to those listed before, on condition that nobody else did so meanwhile', async () => {
    const other = sample('other', mediaTypes.manifest).descriptor
    const server = await write({ [`GET ${tag}`]: plain(200, indexOf(other), { ...asIndex, etag: '"1"' }) })
    const last = server.seen.at(-1)!
    expect(JSON.parse(last.body.toString()).manifests).toEqual([other, listed])
    expect(last.headers['if-match']).toBe('"1"')
  })

  it('are listed once', async () => {
    const server = await write({ [`GET ${tag}`]: plain(200, indexOf(listed), asIndex) })
    expect(lines(server).at(-1)).toBe(`GET ${tag}`)
  })

  it('of one subject written at once are all listed', async () => {
    let kept: Buffer | undefined
    const server = await serve({
      'PUT /v2/r/x/manifests/': plain(201),
      [`GET ${tag}`]: (...seen) => (kept === undefined ? plain(404) : plain(200, kept, asIndex))(...seen),
      [`PUT ${tag}`]: (request, ...rest) => {
        kept = request.body
        return plain(201)(request, ...rest)
      },
    })
    const repository = repositoryAt(server)
    const many = ['a', 'b', 'c'].map(by =>
      jsonSample({ ...JSON.parse(signature.bytes.toString()), annotations: { by } }, mediaTypes.manifest),
    )
    await Promise.all(many.map(one => repository.write(one.descriptor, one.source, testContext())))
    expect(JSON.parse(kept!.toString()).manifests).toHaveLength(3)
  })

  it('are read page by page', async () => {
    const next = { ...asIndex, link: `</v2/r/x/referrers/${subject.digest}?page=2>; rel="next"` }
    const other = sample('other', mediaTypes.manifest).descriptor
    const server = await serve({
      'GET /v2/r/x/referrers/': plain(200, indexOf(listed), next),
      [`GET /v2/r/x/referrers/${subject.digest}?page=2`]: plain(200, indexOf(other), asIndex),
    })
    expect(await repositoryAt(server).referrers(subject.digest, testContext())).toEqual([listed, other])
  })

  it.each([
    ['404', plain(404)],
    ['405', plain(405)],
    ['a page of HTML', plain(200, '<html>', { 'content-type': 'text/html' })],
  ])('are read from the fallback tag where the API answers %s', async (_what, answer) => {
    const server = await serve({
      'GET /v2/r/x/referrers/': answer,
      [`GET ${tag}`]: plain(200, indexOf(listed), asIndex),
    })
    expect(await repositoryAt(server).referrers(subject.digest, testContext())).toEqual([listed])
  })

  it('are none where there is neither', async () => {
    const server = await serve({ 'GET /v2/r/x/referrers/': plain(404), [`GET ${tag}`]: plain(404) })
    expect(await repositoryAt(server).referrers(subject.digest, testContext())).toEqual([])
  })
})

describe('tags', () => {
  it('are listed over all pages', async () => {
    const page = (names: readonly string[], more?: string): Answer =>
      plain(
        200,
        JSON.stringify({ name: 'r/x', tags: names }),
        more === undefined ? {} : { link: `<${more}>; rel="next"` },
      )
    const server = await serve({
      'GET /v2/r/x/tags/list?n=1000': page(['a', 'b'], '/v2/r/x/tags/list?n=1000&last=b'),
      'GET /v2/r/x/tags/list?n=1000&last=b': page(['c']),
    })
    expect(await Array.fromAsync(repositoryAt(server).tags(testContext()))).toEqual(['a', 'b', 'c'])
  })

  it('are asked for by the last one where a full page has no link', async () => {
    const full = Array.from({ length: 1000 }, (_, i) => `t${String(i).padStart(4, '0')}`)
    const server = await serve({
      'GET /v2/r/x/tags/list?n=1000': plain(200, JSON.stringify({ tags: full })),
      'GET /v2/r/x/tags/list?n=1000&last=t0999': plain(200, JSON.stringify({ tags: ['u'] })),
    })
    expect(await Array.fromAsync(repositoryAt(server).tags(testContext()))).toHaveLength(1001)
  })

  it('are not asked for at another host', async () => {
    const elsewhere = { link: '<http://127.0.0.1:1/v2/r/x/tags/list?last=a>; rel="next"' }
    const server = await serve({ 'GET /v2/r/x/tags/list': plain(200, JSON.stringify({ tags: ['a'] }), elsewhere) })
    expect(await Array.fromAsync(repositoryAt(server).tags(testContext()))).toEqual(['a'])
  })

  it('are none where the registry says null', async () => {
    const server = await serve({ 'GET /v2/r/x/tags/list': plain(200, '{"tags":null}') })
    expect(await Array.fromAsync(repositoryAt(server).tags(testContext()))).toEqual([])
  })
})
