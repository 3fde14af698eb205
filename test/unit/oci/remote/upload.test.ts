import { Readable } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import { formatBytes } from '../../../../src/core/bytes.ts'
import { CloudimgError } from '../../../../src/core/error.ts'
import { copyImage } from '../../../../src/oci/copy.ts'
import type { SeenRequest, TestServer } from '../../../support/http-server.ts'
import { memoryEnd } from '../../../support/memory-end.ts'
import { sample, sampleImage } from '../../../support/sample-image.ts'
import {
  type Answer,
  cut,
  inTurn,
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

const blob = sample(Buffer.alloc(10_000, 'abcdefg'))
const { digest } = blob.descriptor
const closing = `digest=${encodeURIComponent(digest)}`
const session = '/v2/r/x/blobs/uploads/s'

async function serve(answers: Readonly<Record<string, Answer>>): Promise<TestServer> {
  const server = await scriptedRegistry({
    'HEAD /v2/r/x/blobs/': plain(404),
    'POST /v2/r/x/blobs/uploads/': plain(202, '', { location: session }),
    [`PUT ${session}`]: plain(201),
    [`DELETE ${session}`]: plain(204),
    ...answers,
  })
  servers.push(server)
  return server
}

/** Chunks as a registry keeps them: `accepts` says how many bytes of a chunk it takes. */
function keeper(accepts: (chunk: Buffer, kept: number) => number): {
  readonly kept: Buffer[]
  readonly answers: Readonly<Record<string, Answer>>
} {
  const kept: Buffer[] = []
  const size = (): number => Buffer.concat(kept).length
  const state = (): Record<string, string> => ({
    location: `${session}?at=${size()}`,
    range: `0-${Math.max(0, size() - 1)}`,
  })
  return {
    kept,
    answers: {
      [`PUT ${session}`]: (request, response, server) =>
        plain(request.body.length === 0 ? 201 : 413)(request, response, server),
      [`GET ${session}`]: (request, response, server) => plain(204, '', state())(request, response, server),
      [`PATCH ${session}`]: (request, response, server) => {
        const start = Number(request.headers['content-range']?.split('-')[0])
        const taken = start === size() ? accepts(request.body, start) : -1
        if (taken >= 0) kept.push(request.body.subarray(0, taken))
        return plain(taken < 0 ? 416 : 202, '', state())(request, response, server)
      },
    },
  }
}

describe('a whole blob', () => {
  it('is not sent where it is there', async () => {
    const server = await serve({ 'HEAD /v2/r/x/blobs/': plain(200) })
    expect(await repositoryAt(server).write(blob.descriptor, blob.source, testContext())).toBe('present')
    expect(lines(server).filter(line => !line.startsWith('HEAD'))).toEqual(['GET /v2/'])
  })

  it.each([
    ['relative', session, `PUT ${session}?${closing}`],
    [
      'with a query that is kept as it is',
      `${session}?_state=a%2Bb==&x=%7E`,
      `PUT ${session}?_state=a%2Bb==&x=%7E&${closing}`,
    ],
    ['relative to the request', 's', `PUT ${session}?${closing}`],
  ])('goes to a Location that is %s', async (_what, location, expected) => {
    const server = await serve({ 'POST /v2/r/x/blobs/uploads/': plain(202, '', { location }) })
    const seen: number[] = []
    const written = await repositoryAt(server).write(blob.descriptor, blob.source, testContext(), n => seen.push(n))
    expect(written).toBe('written')
    const put = server.seen.at(-1)!
    expect(`${put.method} ${put.path}`).toBe(expected)
    expect(put.body).toEqual(blob.bytes)
    expect(put.headers).toMatchObject({ 'content-length': '10000', 'content-type': 'application/octet-stream' })
    expect(seen.at(-1)).toBe(10_000)
  })

  it('goes to another host without the authorization', async () => {
    const storage = await scriptedRegistry({ 'PUT /put': plain(201) })
    servers.push(storage)
    const server = await serve({
      'GET /v2/': plain(401, '', { 'www-authenticate': 'Basic' }),
      'POST /v2/r/x/blobs/uploads/': plain(202, '', { location: `${storage.url}/put?sig=1` }),
    })
    const credential = { kind: 'basic', username: 'u', password: 'secret' } as const
    await repositoryAt(server, { credential }).write(blob.descriptor, blob.source, testContext())
    expect(server.seen.at(-1)?.headers.authorization).toMatch(/^Basic/)
    expect(lines(storage)).toEqual([`PUT /put?sig=1&${closing}`])
    expect(storage.seen[0]?.headers).not.toHaveProperty('authorization')
  })

  it('follows a 307 with its body, and leaves the authorization behind', async () => {
    const storage = await scriptedRegistry({ 'PUT /put': plain(201) })
    servers.push(storage)
    const server = await serve({
      'GET /v2/': plain(401, '', { 'www-authenticate': 'Basic' }),
      [`PUT ${session}`]: plain(307, '', { location: `${storage.url}/put` }),
    })
    const credential = { kind: 'basic', username: 'u', password: 'secret' } as const
    await repositoryAt(server, { credential }).write(blob.descriptor, blob.source, testContext())
    expect(storage.seen[0]?.body).toEqual(blob.bytes)
    expect(storage.seen[0]?.headers).not.toHaveProperty('authorization')
  })

  it('is mounted where the registry has it elsewhere', async () => {
    const server = await serve({ 'POST /v2/r/x/blobs/uploads/?mount': plain(201) })
    const source = { ...blob.source, from: { registry: server.host, repository: 'other/y' } }
    expect(await repositoryAt(server).write(blob.descriptor, source, testContext())).toBe('mounted')
    expect(lines(server).at(-1)).toBe(`POST /v2/r/x/blobs/uploads/?mount=${encodeURIComponent(digest)}&from=other%2Fy`)
  })

  it('uses the session that a refused mount opened', async () => {
    const server = await serve({ 'POST /v2/r/x/blobs/uploads/?mount': plain(202, '', { location: `${session}2` }) })
    const source = { ...blob.source, from: { registry: server.host, repository: 'other/y' } }
    expect(await repositoryAt(server).write(blob.descriptor, source, testContext())).toBe('written')
    expect(lines(server).slice(2)).toEqual([
      `POST /v2/r/x/blobs/uploads/?mount=${encodeURIComponent(digest)}&from=other%2Fy`,
      `PUT ${session}2?${closing}`,
    ])
  })

  it.each([400, 403, 405])('is uploaded where a mount is answered by %i', async status => {
    const server = await serve({ 'POST /v2/r/x/blobs/uploads/?mount': plain(status) })
    const source = { ...blob.source, from: { registry: server.host, repository: 'other/y' } }
    expect(await repositoryAt(server).write(blob.descriptor, source, testContext())).toBe('written')
  })

  it.each([
    ['is cut', cut],
    ['answers 503', plain(503)],
    ['answers 429', plain(429, '', { 'retry-after': '0' })],
    ['forgot the session', refusal(404, 'BLOB_UPLOAD_UNKNOWN')],
  ])('is sent again from its first byte where the registry %s', async (_what, first) => {
    const server = await serve({ [`PUT ${session}`]: inTurn(first, plain(201)) })
    const ctx = testContext()
    expect(await repositoryAt(server).write(blob.descriptor, blob.source, ctx)).toBe('written')
    expect(server.seen.at(-1)?.body).toEqual(blob.bytes)
    expect(ctx.seen.map(event => event.kind)).toContain('retry')
  })

  it('is not sent again where only the answer was cut', async () => {
    const heads = inTurn(plain(404), plain(200))
    const server = await serve({ 'HEAD /v2/r/x/blobs/': heads, [`PUT ${session}`]: cut })
    expect(await repositoryAt(server).write(blob.descriptor, blob.source, testContext())).toBe('written')
    expect(lines(server).filter(line => line.startsWith('PUT'))).toHaveLength(1)
  })

  it('is taken up behind the bytes that the registry kept of a broken one', async () => {
    const { kept, answers } = keeper(chunk => chunk.length)
    const broken: Answer = (request, response) => {
      kept.push(request.body.subarray(0, 7000))
      response.socket?.destroy()
    }
    const server = await serve({ ...answers, [`PUT ${session}`]: inTurn(broken, plain(201)) })
    const seen: number[] = []
    await repositoryAt(server).write(blob.descriptor, blob.source, testContext(), bytes => seen.push(bytes))
    expect(Buffer.concat(kept)).toEqual(blob.bytes)
    const patches = server.seen.filter(({ method }) => method === 'PATCH')
    expect(patches.map(({ headers }) => headers['content-range'])).toEqual(['7000-9999'])
    expect(seen.at(-1)).toBe(10_000)
  })

  it('is sent anew where what the registry kept turns out wrong', async () => {
    const { kept, answers } = keeper(chunk => chunk.length)
    const broken: Answer = (_request, response) => {
      kept.push(Buffer.alloc(7000))
      response.socket?.destroy()
    }
    const puts = inTurn(broken, refusal(400, 'DIGEST_INVALID'), plain(201))
    const server = await serve({ ...answers, [`PUT ${session}`]: puts })
    expect(await repositoryAt(server).write(blob.descriptor, blob.source, testContext())).toBe('written')
    expect(server.seen.at(-1)?.body).toEqual(blob.bytes)
  })

  it('leaves no session behind when it gives up', async () => {
    const server = await serve({ [`PUT ${session}`]: refusal(400, 'DIGEST_INVALID', 'wrong digest') })
    await expect(repositoryAt(server).write(blob.descriptor, blob.source, testContext())).rejects.toMatchObject({
      code: 'REGISTRY_ERROR',
      message: expect.stringContaining('DIGEST_INVALID: wrong digest (status 400 at the target)'),
    })
    expect(lines(server).at(-1)).toBe(`DELETE ${session}`)
  })

  it('shows the error of its source and does not try again', async () => {
    const broken = new CloudimgError('DIGEST_MISMATCH', 'reading blob: wanted a, found b')
    const open = async (): Promise<Readable> =>
      Readable.from(
        (async function* () {
          yield blob.bytes.subarray(0, 10)
          throw broken
        })(),
      )
    const server = await serve({})
    await expect(repositoryAt(server).write(blob.descriptor, { open }, testContext())).rejects.toBe(broken)
  })
})

describe('chunks', () => {
  it.each([413, 416])('are sent in order where a whole blob is answered by %i', async status => {
    const { kept, answers } = keeper(chunk => chunk.length)
    const server = await serve({
      ...answers,
      [`PUT ${session}`]: (request, ...rest) => plain(request.body.length === 0 ? 201 : status)(request, ...rest),
    })
    await repositoryAt(server, { chunkBytes: 4000 }).write(blob.descriptor, blob.source, testContext())
    expect(Buffer.concat(kept)).toEqual(blob.bytes)
    const patches = server.seen.filter(({ method }) => method === 'PATCH')
    expect(patches.map(({ path, headers }) => [path, headers['content-range'], headers['content-length']])).toEqual([
      [session, '0-3999', '4000'],
      [`${session}?at=4000`, '4000-7999', '4000'],
      [`${session}?at=8000`, '8000-9999', '2000'],
    ])
    expect(lines(server).at(-1)).toBe(`PUT ${session}?at=10000&${closing}`)
  })

  it('are sent where whole blobs are cut twice', async () => {
    const { kept, answers } = keeper(chunk => chunk.length)
    const server = await serve({
      ...answers,
      [`PUT ${session}`]: (request, ...rest) => (request.body.length === 0 ? plain(201) : cut)(request, ...rest),
    })
    await repositoryAt(server, { chunkBytes: 4000 }).write(blob.descriptor, blob.source, testContext())
    expect(Buffer.concat(kept)).toEqual(blob.bytes)
  })

  it('go on from what the registry kept of one', async () => {
    const { kept, answers } = keeper(chunk => Math.min(chunk.length, 3000))
    const server = await serve(answers)
    await repositoryAt(server, { chunkBytes: 4000 }).write(blob.descriptor, blob.source, testContext())
    expect(Buffer.concat(kept)).toEqual(blob.bytes)
  })

  it('go on where the registry stands after a cut', async () => {
    const { kept, answers } = keeper(chunk => chunk.length)
    const patch = answers[`PATCH ${session}`]!
    const broken: Answer = (request, response) => {
      kept.push(request.body.subarray(0, 100))
      response.socket?.destroy()
    }
    const server = await serve({ ...answers, [`PATCH ${session}`]: inTurn(patch, broken, patch) })
    await repositoryAt(server, { chunkBytes: 4000 }).write(blob.descriptor, blob.source, testContext())
    expect(Buffer.concat(kept)).toEqual(blob.bytes)
  })

  it('are made smaller where one is too large', async () => {
    const large = sample(Buffer.alloc(9 * 1024 * 1024, 'z'))
    const { kept, answers } = keeper(chunk => (chunk.length > 2 * 1024 * 1024 ? -1 : chunk.length))
    const server = await serve(answers)
    const repository = repositoryAt(server, { chunkBytes: 8 * 1024 * 1024 })
    await repository.write(large.descriptor, large.source, testContext())
    expect(Buffer.concat(kept).equals(large.bytes)).toBe(true)
  })

  it('are no smaller than the registry wants them', async () => {
    const { answers } = keeper(chunk => chunk.length)
    const location = { location: session, 'oci-chunk-min-length': '6000' }
    const server = await serve({ ...answers, 'POST /v2/r/x/blobs/uploads/': plain(202, '', location) })
    await repositoryAt(server, { chunkBytes: 100 }).write(blob.descriptor, blob.source, testContext())
    const patches = server.seen.filter(({ method }) => method === 'PATCH')
    expect(patches.map(({ headers }) => headers['content-range'])).toEqual(['0-5999', '6000-9999'])
  })

  it.each([
    ['drops them and still answers well', (_chunk: Buffer, kept: number): number => (kept === 0 ? 4000 : 0)],
    ['takes none of any size', () => -1],
  ])('are given up where the registry %s', async (_what, accepts) => {
    const { answers } = keeper(accepts)
    const server = await serve(answers)
    const writing = repositoryAt(server, { chunkBytes: 4000 }).write(blob.descriptor, blob.source, testContext())
    await expect(writing).rejects.toMatchObject({ code: 'REGISTRY_ERROR', message: expect.stringContaining('chunk') })
  })
})

it('a copy asks for each blob once, and sends those that were lacking', async () => {
  const { manifest, config, layer, all } = sampleImage('amd64')
  const source = memoryEnd(all)
  source.names.set('v1', manifest.descriptor)
  const server = await serve({
    [`HEAD /v2/r/x/blobs/${layer.descriptor.digest}`]: plain(200),
    'HEAD /v2/r/x/manifests/': plain(404),
    'PUT /v2/r/x/manifests/': plain(201),
  })
  const ctx = testContext()
  await copyImage(source, 'v1', repositoryAt(server), 'v1', { title: 'all' }, ctx)
  expect(
    lines(server)
      .filter(line => line.includes('/blobs/'))
      .sort(),
  ).toEqual(
    [
      `HEAD /v2/r/x/blobs/${config.descriptor.digest}`,
      `HEAD /v2/r/x/blobs/${layer.descriptor.digest}`,
      'POST /v2/r/x/blobs/uploads/',
      `PUT ${session}?digest=${encodeURIComponent(config.descriptor.digest)}`,
    ].sort(),
  )
  expect(ctx.seen.at(-1)).toMatchObject({
    kind: 'task.end',
    note: `1 copied (${formatBytes(config.descriptor.size)}), 1 already there (${formatBytes(layer.descriptor.size)})`,
  })
})

it.each([
  [401, 'UNAUTHORIZED', 'REGISTRY_AUTH'],
  [403, 'DENIED', 'REGISTRY_DENIED'],
  [404, 'NAME_UNKNOWN', 'REGISTRY_ERROR'],
  [400, 'NAME_INVALID', 'REGISTRY_ERROR'],
])('a push answered by %i %s is %s', async (status, said, code) => {
  const server = await serve({ 'POST /v2/r/x/blobs/uploads/': refusal(status, said, 'because\u001b[31m') })
  const { descriptor, source } = blob
  await expect(repositoryAt(server).write(descriptor, source, testContext())).rejects.toMatchObject({
    code,
    message: expect.stringMatching(new RegExp(`${said}: because .*at the target`)),
    data: { side: 'target', registryCode: said, status },
  })
})

it('gives up after the tries it has, with the last answer', async () => {
  const server = await serve({ 'POST /v2/r/x/blobs/uploads/': refusal(503, 'UNAVAILABLE', 'later') })
  const writing = repositoryAt(server, { retry: { attempts: 3, delayMs: 1 } }).write(
    blob.descriptor,
    blob.source,
    testContext(),
  )
  await expect(writing).rejects.toMatchObject({ code: 'REGISTRY_ERROR', data: { status: 503 } })
  expect(server.seen.filter(({ method }: SeenRequest) => method === 'POST')).toHaveLength(3)
})
