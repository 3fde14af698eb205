import { buffer } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import type { ByteRange } from '../../../../src/oci/ends.ts'
import type { TestServer } from '../../../support/http-server.ts'
import { sample } from '../../../support/sample-image.ts'
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

const blob = sample(Buffer.from(Array.from({ length: 10_000 }, (_, i) => i % 251)))
const path = `/v2/r/x/blobs/${blob.descriptor.digest}`

async function serve(get: Answer, more: Readonly<Record<string, Answer>> = {}): Promise<TestServer> {
  const server = await scriptedRegistry({ [`GET ${path}`]: get, ...more })
  servers.push(server)
  return server
}

async function read(server: TestServer, range?: ByteRange): Promise<Buffer> {
  return await buffer(await repositoryAt(server).open(blob.descriptor, testContext(), range))
}

/** Gives what was asked for, of it at most `most` bytes before the connection breaks. */
function ranged(most = Number.POSITIVE_INFINITY): Answer {
  return (request, response) => {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
    const [from, to] = range === null ? [0, blob.bytes.length - 1] : [Number(range[1]), Number(range[2])]
    const part = blob.bytes.subarray(from, to + 1)
    response.writeHead(range === null ? 200 : 206, {
      'content-length': part.length,
      ...(range === null ? {} : { 'content-range': `bytes ${from}-${to}/${blob.bytes.length}` }),
    })
    if (part.length <= most) response.end(part)
    else response.write(part.subarray(0, most), () => response.socket?.destroy())
  }
}

describe('a blob', () => {
  it('is read whole without a range', async () => {
    const server = await serve(ranged())
    expect(await read(server)).toEqual(blob.bytes)
    expect(server.seen.at(-1)?.headers).not.toHaveProperty('range')
  })

  it('is taken up where the connection broke, as often as it makes progress', async () => {
    const server = await serve(ranged(1000))
    expect(await read(server)).toEqual(blob.bytes)
    expect(server.seen.slice(1, 4).map(({ headers }) => headers.range)).toEqual([
      undefined,
      'bytes=1000-9999',
      'bytes=2000-9999',
    ])
  })

  it('is taken up at a registry that knows no ranges', async () => {
    const server = await serve(inTurn(ranged(1000), plain(200, blob.bytes)))
    expect(await read(server)).toEqual(blob.bytes)
  })

  it('is given up where no byte comes any more', async () => {
    const server = await serve(inTurn(ranged(1000), cut))
    await expect(read(server)).rejects.toMatchObject({ code: 'NETWORK' })
    expect(server.seen).toHaveLength(1 + 1 + 4)
  })

  it.each([
    ['a part', { offset: 100, length: 50 }, blob.bytes.subarray(100, 150)],
    ['the rest', { offset: 9990 }, blob.bytes.subarray(9990)],
    ['no more than there is', { offset: 9990, length: 500 }, blob.bytes.subarray(9990)],
    ['nothing', { offset: 10_000, length: 5 }, Buffer.alloc(0)],
  ])('is read by range: %s', async (_what, range, expected) => {
    expect(await read(await serve(ranged(20)), range)).toEqual(expected)
    expect(await read(await serve(plain(200, blob.bytes)), range)).toEqual(expected)
  })

  it.each([
    ['other bytes', Buffer.alloc(10_000), 'DIGEST_MISMATCH'],
    ['more bytes', Buffer.concat([blob.bytes, Buffer.from('x')]), 'SIZE_MISMATCH'],
  ])('fails on %s', async (_what, bytes, code) => {
    await expect(read(await serve(plain(200, bytes)))).rejects.toMatchObject({ code })
  })

  it('fails on another range than asked for', async () => {
    const wrong = plain(206, 'xx', { 'content-range': 'bytes 0-1/10000' })
    await expect(read(await serve(wrong), { offset: 5, length: 2 })).rejects.toMatchObject({ code: 'REGISTRY_ERROR' })
  })

  it('is followed to another host, where no authorization is shown', async () => {
    const storage = await scriptedRegistry({ 'GET /there': plain(200, blob.bytes) })
    servers.push(storage)
    const server = await serve(plain(307, '', { location: `${storage.url}/there?sig=x` }), {
      'GET /v2/': plain(401, '', { 'www-authenticate': 'Basic' }),
    })
    const credential = { kind: 'basic', username: 'u', password: 'secret' } as const
    const body = await repositoryAt(server, { credential }).open(blob.descriptor, testContext())
    expect(await buffer(body)).toEqual(blob.bytes)
    expect(server.seen.at(-1)?.headers.authorization).toMatch(/^Basic/)
    expect(storage.seen[0]?.headers).not.toHaveProperty('authorization')
  })

  it('is asked for anew at the registry when the other host breaks', async () => {
    const storage = await scriptedRegistry({ 'GET /there': ranged(4000) })
    servers.push(storage)
    const server = await serve(plain(307, '', { location: `${storage.url}/there` }))
    expect(await read(server)).toEqual(blob.bytes)
    expect(lines(server).filter(line => line.startsWith('GET /v2/r'))).toHaveLength(3)
  })

  it('is there where HEAD is redirected', async () => {
    const server = await serve(ranged(), { [`HEAD ${path}`]: plain(307, '', { location: 'http://127.0.0.1:1/x' }) })
    expect(await repositoryAt(server).has(blob.descriptor, testContext())).toBe(true)
  })

  it.each([
    [401, 'REGISTRY_AUTH'],
    [403, 'REGISTRY_DENIED'],
    [404, 'IMAGE_NOT_FOUND'],
    [418, 'REGISTRY_ERROR'],
  ])('answered by %i is %s, said before the first byte', async (status, code) => {
    const server = await serve(refusal(status, 'SAID', 'so'))
    await expect(repositoryAt(server).open(blob.descriptor, testContext())).rejects.toMatchObject({
      code,
      message: expect.stringContaining(`SAID: so (status ${status} at the source)`),
      data: { side: 'source' },
    })
  })

  it('waits as long as it is told, and says so', async () => {
    const server = await serve(inTurn(plain(429, '', { 'retry-after': '0' }), ranged()))
    const ctx = testContext()
    await buffer(await repositoryAt(server).open(blob.descriptor, ctx))
    expect(ctx.seen).toMatchObject([{ kind: 'retry', delayMs: 0, attempt: 2 }])
  })

  it('stops at once when it is cancelled', async () => {
    const ctx = testContext()
    const server = await serve(
      (_request, response) => void response.writeHead(200, { 'content-length': 10_000 }).write('x'),
    )
    const reading = buffer(await repositoryAt(server).open(blob.descriptor, ctx))
    ctx.abort()
    await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  it('that nobody reads leaves no connection open', async () => {
    let closed = 0
    const server = await serve((_request, response) => {
      response.on('close', () => closed++)
      response.writeHead(200, { 'content-length': 10_000 }).write('x')
    })
    const stream = await repositoryAt(server).open(blob.descriptor, testContext(), { offset: 0 })
    stream.destroy()
    await expect.poll(() => closed).toBe(1)
  })
})

it('passes a warning of the registry on once', async () => {
  const server = await serve(plain(200, blob.bytes, { warning: '299 - "this moves\tsoon"' }))
  const ctx = testContext()
  const repository = repositoryAt(server)
  await buffer(await repository.open(blob.descriptor, ctx))
  await buffer(await repository.open(blob.descriptor, ctx))
  expect(ctx.seen).toEqual([
    { kind: 'warning', code: 'registry-warning', message: `registry "${server.host}" says: this moves soon` },
  ])
})
