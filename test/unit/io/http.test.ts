import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { CloudimgError } from '../../../src/core/error.ts'
import { drain, readBody, retryAfterMs, send, sendFollowing } from '../../../src/io/http.ts'
import { isLoopback } from '../../../src/io/loopback.ts'
import { startServer, type TestServer } from '../../support/http-server.ts'
import { testContext } from '../../support/test-context.ts'

const servers: TestServer[] = []

async function serve(...args: Parameters<typeof startServer>): Promise<TestServer> {
  const server = await startServer(...args)
  servers.push(server)
  return server
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map(server => server.close()))
})

describe('send', () => {
  it('does not take a slow reader for a silent server', async () => {
    const content = Buffer.alloc(8 * 1024 * 1024, 7)
    const server = await serve((_request, response) => void response.end(content))
    const response = await send({ method: 'GET', url: new URL(server.url), stallMs: 1000 }, testContext())
    let size = 0
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      if (size === 0) await sleep(1500)
      size += chunk.length
    }
    expect(size).toBe(content.length)
  })

  it('gives up on a server that falls silent in the middle', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': '10' })
      response.write('half')
    })
    const response = await send({ method: 'GET', url: new URL(server.url), stallMs: 1000 }, testContext())
    await expect(readBody(response)).rejects.toMatchObject({ code: 'NETWORK', data: { retryable: true } })
  })

  it('tells a cancelled read from a broken one', async () => {
    const ctx = testContext()
    const server = await serve((_request, response) => void response.writeHead(200).write('half'))
    const response = await send({ method: 'GET', url: new URL(server.url) }, ctx)
    const reading = readBody(response)
    ctx.abort()
    await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  it('shows the error of a body that breaks, not the cut connection that follows', async () => {
    const server = await serve((_request, response) => void response.end())
    const stream = Readable.from(
      (async function* () {
        yield Buffer.from('some')
        throw new CloudimgError('DIGEST_MISMATCH', 'reading blob: wanted a, found b')
      })(),
    )
    const sending = send({ method: 'PUT', url: new URL(server.url), body: { stream, length: 100 } }, testContext())
    await expect(sending).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  })

  it('drains a HEAD answer that tells a long content', async () => {
    const server = await serve(
      (_request, response) => void response.writeHead(200, { 'content-length': '99999999' }).end(),
    )
    const response = await send({ method: 'HEAD', url: new URL(server.url) }, testContext())
    await drain(response)
    await drain(response)
    expect(response.status).toBe(200)
  })

  it('reports a refused connection as retryable', async () => {
    const server = await startServer(() => undefined)
    await server.close()
    const sending = send({ method: 'GET', url: new URL(server.url) }, testContext())
    await expect(sending).rejects.toMatchObject({
      code: 'NETWORK',
      data: { retryable: true, errno: 'ECONNREFUSED' },
      message: expect.stringContaining('connection refused'),
    })
  })
})

describe('sendFollowing', () => {
  it('takes no authorization to another origin and keeps the range', async () => {
    const other = await serve((_request, response) => void response.end('there'))
    const first = await serve(
      (_request, response) => void response.writeHead(307, { location: `${other.url}/x` }).end(),
    )
    const headers = { authorization: 'Bearer secret', cookie: 'a=b', range: 'bytes=1-' }
    const response = await sendFollowing({ method: 'GET', url: new URL(first.url), headers }, testContext())
    expect((await readBody(response)).toString()).toBe('there')
    expect(first.seen[0]?.headers.authorization).toBe('Bearer secret')
    expect(other.seen[0]?.headers).toMatchObject({ range: 'bytes=1-' })
    expect(other.seen[0]?.headers).not.toHaveProperty('authorization')
    expect(other.seen[0]?.headers).not.toHaveProperty('cookie')
  })

  it('does not give the authorization back to the origin that sent it away', async () => {
    const other = await serve(
      (_request, response) => void response.writeHead(302, { location: `${first.url}/2` }).end(),
    )
    const first: TestServer = await serve((request, response) => {
      if (request.path === '/2') response.end('back')
      else response.writeHead(302, { location: other.url }).end()
    })
    const headers = { authorization: 'Basic secret' }
    await drain(await sendFollowing({ method: 'GET', url: new URL(`${first.url}/1`), headers }, testContext()))
    expect(first.seen.map(seen => seen.headers.authorization)).toEqual(['Basic secret', undefined])
  })

  it('stops after 10 redirects', async () => {
    const server = await serve((_request, response) => void response.writeHead(302, { location: '/again' }).end())
    const sending = sendFollowing({ method: 'GET', url: new URL(server.url) }, testContext())
    await expect(sending).rejects.toMatchObject({ code: 'NETWORK' })
    expect(server.seen).toHaveLength(11)
  })
})

it.each([
  ['localhost', true],
  ['registry.localhost', true],
  ['127.0.0.1', true],
  ['127.9.8.7', true],
  ['[::1]', true],
  ['10.0.0.1', false],
  ['127.example.com', false],
  ['localhost.example.com', false],
])('isLoopback(%s) is %s', (name, expected) => {
  expect(isLoopback(name)).toBe(expected)
})

describe('Retry-After', () => {
  const after = (value: string): number | undefined =>
    retryAfterMs({ status: 429, headers: { 'retry-after': value }, body: Readable.from([]), url: new URL('http://h/') })

  it('is seconds, a date, or, as Docker Hub writes it, a time since 1970', () => {
    expect(after('7')).toBe(7000)
    expect(after(new Date(Date.now() + 20_000).toUTCString())).toBeGreaterThan(15_000)
    expect(after(String(Math.floor(Date.now() / 1000) + 20))).toBeGreaterThan(15_000)
    expect(after(String(Math.floor(Date.now() / 1000) + 20))).toBeLessThan(30_000)
    expect(after('soon')).toBeUndefined()
  })
})
