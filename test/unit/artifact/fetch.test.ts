import { readFile, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Fetched, fetchFile, type FetchEnvironment, fetchUrl } from '../../../src/artifact/fetch.ts'
import { sorted } from '../../../src/artifact/lock.ts'
import type { Digest } from '../../../src/core/digest.ts'
import { type SeenRequest, startServer, type TestServer } from '../../support/http-server.ts'
import { serveFile, sha256, watchingContext, Workbench } from './release-fixture.ts'

const content = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7919) % 251))
const digest: Digest = `sha256:${sha256(content)}`
const locator = 'https://upstream.example/v1/file'

let bench: Workbench
let ctx: ReturnType<typeof watchingContext>
const servers: TestServer[] = []

beforeEach(async () => {
  bench = await Workbench.open()
  ctx = watchingContext()
})
afterEach(async () => {
  await Promise.all(servers.splice(0).map(server => server.close()))
  await bench.dispose()
})

async function serve(
  answer: (request: SeenRequest, response: ServerResponse, nth: number) => void,
): Promise<TestServer> {
  const server = await startServer((request, response, self) => answer(request, response, self.seen.length))
  servers.push(server)
  return server
}

/** Sends the head and the first bytes, and cuts the connection when the other side has them. */
function cutAfter(response: ServerResponse, bytes: number, headers: object = {}): void {
  response.writeHead(200, { 'content-length': content.length, ...headers })
  response.write(content.subarray(0, bytes))
  void ctx.reached(bytes).then(() => response.destroy())
}

interface Wish {
  readonly env?: FetchEnvironment
  readonly expected?: Digest | undefined
}

function fetchFrom(places: readonly (TestServer | string)[], wish: Wish = { expected: digest }): Promise<Fetched> {
  const locations = places.map(place => new URL(typeof place === 'string' ? place : `${place.url}/file`))
  const request = { what: 'file v1', locator, platform: 'any', locations, expected: wish.expected, hint: 'look again' }
  return fetchFile(request, wish.env ?? bench.environment(), ctx)
}

/** What the home holds: whether each blob is what its name says, and what is left of downloads. */
async function stored(): Promise<object> {
  const blobs = await bench.blobs()
  const contents = await Promise.all(blobs.map(name => readFile(bench.path(`home/blobs/sha256/${name}`))))
  return {
    blobs,
    areWhole: contents.every((bytes, index) => sha256(bytes) === blobs[index]),
    downloads: await bench.downloads(),
  }
}

const whole = { blobs: [sha256(content)], areWhole: true, downloads: [] }
const nothing = { blobs: [], areWhole: true, downloads: [] }

describe('fetching over http', () => {
  it('stores, pins, and is served from the pool afterwards', async () => {
    const server = await serve((request, response) => serveFile(request, response, content))
    const env = bench.environment()
    expect(await fetchFrom([server], { env, expected: digest })).toEqual({
      digest,
      size: content.length,
      outcome: 'fetched',
    })
    expect(env.lock.result().entries).toEqual([
      { kind: 'artifact', locator, platform: 'any', digest, size: content.length },
    ])
    expect(await fetchFrom([server], { env, expected: digest })).toMatchObject({ outcome: 'cached' })
    expect(server.seen).toHaveLength(1)
    expect(await stored()).toEqual(whole)
  })

  it('reports progress in bytes and ends the task', async () => {
    const server = await serve((request, response) => serveFile(request, response, content))
    await fetchFrom([server], { expected: digest })
    expect(ctx.seen[0]).toMatchObject({ kind: 'task.start', title: 'fetch file v1' })
    expect(ctx.seen).toContainEqual(
      expect.objectContaining({ kind: 'task.progress', done: content.length, total: content.length, unit: 'bytes' }),
    )
    expect(ctx.seen.at(-1)).toMatchObject({ kind: 'task.end', outcome: 'done' })
  })

  it('follows redirects to another origin', async () => {
    const target = await serve((request, response) => serveFile(request, response, content))
    const server = await serve((_request, response) => {
      response.writeHead(302, { location: `${target.url}/elsewhere?sig=1` }).end()
    })
    await fetchFrom([server])
    expect(await stored()).toEqual(whole)
  })

  it('fetches once what two ask for at the same time', async () => {
    const server = await serve((request, response) => serveFile(request, response, content))
    const env = bench.environment()
    await Promise.all([fetchFrom([server], { env, expected: digest }), fetchFrom([server], { env, expected: digest })])
    expect(server.seen).toHaveLength(1)
  })

  it.each([
    ['with a validator', { etag: '"v1"' }, digest, { range: 'bytes=70000-', 'if-range': '"v1"' }],
    [
      'with a date where the ETag is weak',
      { etag: 'W/"v1"', 'last-modified': 'Tue, 01 Oct 2024 00:00:00 GMT' },
      digest,
      { range: 'bytes=70000-', 'if-range': 'Tue, 01 Oct 2024 00:00:00 GMT' },
    ],
    ['without one, when the digest is known', {}, digest, { range: 'bytes=70000-' }],
  ])('goes on where it was cut, %s', async (_name, headers, expected, asked) => {
    const server = await serve((request, response, nth) => {
      if (nth === 1) cutAfter(response, 70_000, headers)
      else {
        const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0])
        response.writeHead(206, { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` })
        response.end(content.subarray(from))
      }
    })
    await fetchFrom([server], { expected })
    expect(server.seen).toHaveLength(2)
    expect(server.seen[1]?.headers).toMatchObject(asked)
    expect(server.seen[1]?.headers['if-range']).toBe('if-range' in asked ? asked['if-range'] : undefined)
    expect(ctx.seen).toContainEqual(expect.objectContaining({ kind: 'retry', attempt: 2, of: 3 }))
    expect(await stored()).toEqual(whole)
  })

  it('begins again where nothing can tell that the rest fits', async () => {
    const server = await serve((request, response, nth) => {
      if (nth === 1) cutAfter(response, 70_000)
      else serveFile(request, response, content)
    })
    await fetchFrom([server], { expected: undefined })
    expect(server.seen[1]?.headers.range).toBeUndefined()
    expect(await stored()).toEqual(whole)
  })

  it.each([
    ['a whole answer', 200, {}],
    ['another range', 206, { 'content-range': `bytes 5-${content.length - 1}/${content.length}` }],
    ['no range at all', 206, {}],
    ['a part of the range', 206, { 'content-range': `bytes 70000-70009/${content.length}` }],
    ['a refusal of the range', 416, { 'content-range': 'bytes */12' }],
  ])('begins again when a Range gets %s', async (_name, status, headers) => {
    const server = await serve((request, response, nth) => {
      if (nth === 1) cutAfter(response, 70_000, { etag: '"v1"' })
      else if (request.headers.range === undefined) serveFile(request, response, content)
      else response.writeHead(status, headers).end(status === 200 ? content : content.subarray(5))
    })
    await fetchFrom([server])
    expect(await stored()).toEqual(whole)
  })

  it('goes on with what an earlier run left', async () => {
    const server = await serve((request, response, nth) => {
      if (nth === 1) cutAfter(response, 70_000, { etag: `"${sha256(content).slice(0, 16)}"` })
      else if (nth <= 6) response.destroy()
      else serveFile(request, response, content)
    })
    await expect(fetchFrom([server])).rejects.toMatchObject({ code: 'NETWORK' })
    expect(await bench.blobs()).toEqual([])
    const before = server.seen.length
    await fetchFrom([server])
    expect(server.seen.slice(before).map(request => request.headers.range)).toEqual(['bytes=70000-'])
    expect(await stored()).toEqual(whole)
  })

  it('finishes a part that is whole already', async () => {
    const server = await serve((request, response) => serveFile(request, response, content))
    const env = bench.environment()
    const partial = await env.pool.openPartial(locator)
    await writeFile(partial.path, content)
    await partial.keep()
    await fetchFrom([server], { env, expected: digest })
    expect(server.seen).toHaveLength(1)
    expect(await stored()).toEqual(whole)
  })

  it('fetches whole, once more, when a resumed download does not match', async () => {
    const server = await serve((request, response) => serveFile(request, response, content))
    const env = bench.environment()
    const partial = await env.pool.openPartial(locator)
    await writeFile(partial.path, Buffer.alloc(1000, 'x'))
    await partial.keep()
    await fetchFrom([server], { env, expected: digest })
    expect(server.seen.map(request => request.headers.range)).toEqual(['bytes=1000-', undefined])
    expect(await stored()).toEqual(whole)
  })

  it('counts tries anew as long as bytes arrive', async () => {
    const server = await serve((request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '0')?.[0])
      response.writeHead(from === 0 ? 200 : 206, {
        etag: '"v1"',
        'content-length': content.length - from,
        ...(from === 0 ? {} : { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
      })
      const next = from + 20_000
      response.write(content.subarray(from, next))
      void ctx.reached(next).then(() => response.destroy())
    })
    await fetchFrom([server])
    expect(server.seen.length).toBeGreaterThan(5)
    expect(await stored()).toEqual(whole)
  })
})

describe('what goes wrong', () => {
  it('names both digests and the place of a flipped byte, and keeps nothing', async () => {
    const flipped = Buffer.from(content)
    flipped[1234]! ^= 1
    const server = await serve((request, response) => serveFile(request, response, flipped))
    await expect(fetchFrom([server])).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      message: `fetching file v1 from "${server.url}/file": wanted ${digest}, found sha256:${sha256(flipped)}`,
      data: { wanted: digest, found: `sha256:${sha256(flipped)}`, url: `${server.url}/file` },
    })
    expect(server.seen).toHaveLength(1)
    expect(await stored()).toEqual(nothing)
  })

  it('takes a short file for a wrong one', async () => {
    const server = await serve((request, response) => serveFile(request, response, content.subarray(0, 1000)))
    await expect(fetchFrom([server])).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(await stored()).toEqual(nothing)
  })

  it('refuses by the size that the lock knows, before reading', async () => {
    const server = await serve((request, response) => serveFile(request, response, content.subarray(0, 1000)))
    const lock = sorted([{ kind: 'artifact', locator, platform: 'any', digest, size: content.length }])
    await expect(fetchFrom([server], { env: bench.environment({ lock }), expected: digest })).rejects.toMatchObject({
      code: 'SIZE_MISMATCH',
    })
    expect(await stored()).toEqual(nothing)
  })

  it('gives up on a download that is always cut at one place, and keeps the part', async () => {
    const server = await serve((_request, response) => cutAfter(response, 70_000))
    await expect(fetchFrom([server])).rejects.toMatchObject({ code: 'NETWORK', hint: 'look again' })
    expect(await bench.blobs()).toEqual([])
    expect((await bench.downloads()).filter(name => name.endsWith('.part'))).toHaveLength(1)
  })

  it('retries a 500, then says what it got', async () => {
    const server = await serve((_request, response) => void response.writeHead(500).end('oops'))
    await expect(fetchFrom([server])).rejects.toMatchObject({
      code: 'ARTIFACT_UNAVAILABLE',
      message: `fetching file v1: tried "${server.url}/file": it answers 500`,
    })
    expect(server.seen).toHaveLength(3)
    expect(await stored()).toEqual(nothing)
  })

  it('survives a 503 and a 429', async () => {
    const server = await serve((request, response, nth) => {
      if (nth < 3) response.writeHead(nth === 1 ? 503 : 429, { 'retry-after': '0' }).end()
      else serveFile(request, response, content)
    })
    await fetchFrom([server])
    expect(await stored()).toEqual(whole)
  })

  it('does not retry a 404; the next place is asked and named', async () => {
    const without = await serve((_request, response) => void response.writeHead(404).end())
    const server = await serve((request, response) => serveFile(request, response, content))
    await fetchFrom([without, server], { expected: digest })
    expect(without.seen).toHaveLength(1)
    expect(ctx.seen).toContainEqual({
      kind: 'note',
      message: `file v1 comes from ${server.host}: "${without.url}/file": it answers 404`,
    })
    expect(await stored()).toEqual(whole)
  })

  it('lists all places when no one has it', async () => {
    const [a, b] = [
      await serve((_request, response) => void response.writeHead(404).end()),
      await serve((_request, response) => void response.writeHead(403).end()),
    ]
    await expect(fetchFrom([a, b, `file://${bench.path('none')}`])).rejects.toMatchObject({
      code: 'ARTIFACT_UNAVAILABLE',
      message: `fetching file v1: tried "${a.url}/file": it answers 404; "${b.url}/file": it answers 403; "${bench.path('none')}": no such file`,
    })
    expect(await stored()).toEqual(nothing)
  })

  it('does not try another place after a mismatch', async () => {
    const bad = await serve((request, response) => serveFile(request, response, Buffer.from('bad')))
    const good = await serve((request, response) => serveFile(request, response, content))
    await expect(fetchFrom([bad, good])).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(good.seen).toEqual([])
  })

  it('is a network error where nobody can be reached', async () => {
    const server = await startServer(() => undefined)
    await server.close()
    await expect(fetchFrom([server])).rejects.toMatchObject({ code: 'NETWORK' })
    expect(await stored()).toEqual(nothing)
  })

  it('refuses an answer in a foreign encoding', async () => {
    const server = await serve((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(content)
    })
    await expect(fetchFrom([server])).rejects.toMatchObject({
      code: 'ARTIFACT_UNAVAILABLE',
      message: expect.stringMatching(/encoding "gzip"/) as string,
    })
  })

  it('stops when cancelled, and goes on later', async () => {
    const server = await serve((request, response, nth) => {
      if (nth > 1) return serveFile(request, response, content)
      response.writeHead(200, { 'content-length': content.length, etag: `"${sha256(content).slice(0, 16)}"` })
      response.write(content.subarray(0, 50_000))
      void ctx.reached(50_000).then(() => ctx.abort())
    })
    await expect(fetchFrom([server], { expected: digest })).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(await bench.blobs()).toEqual([])
    ctx = watchingContext()
    await fetchFrom([server])
    expect(server.seen[1]?.headers.range).toBe('bytes=50000-')
    expect(await stored()).toEqual(whole)
  })
})

describe('the lock', () => {
  const pin = (over: object = {}): ReturnType<typeof sorted> =>
    sorted([{ kind: 'artifact', locator, platform: 'any', digest, size: content.length, ...over }])

  it('refuses what differs from a pin, with both values', async () => {
    const server = await serve((request, response) => serveFile(request, response, Buffer.from('changed upstream')))
    await expect(
      fetchFrom([server], { env: bench.environment({ lock: pin() }), expected: undefined }),
    ).rejects.toMatchObject({
      code: 'LOCK_MISMATCH',
      hint: `if the change is meant, run cloudimg lock --update ${locator}`,
      data: { wanted: `${digest} (${content.length} bytes)`, found: `sha256:${sha256('changed upstream')} (16 bytes)` },
    })
    expect(await stored()).toEqual(nothing)
  })

  it('refuses an upstream checksum that differs from the pin before it fetches', async () => {
    const server = await serve((request, response) => serveFile(request, response, content))
    const other: Digest = `sha256:${'0'.repeat(64)}`
    await expect(
      fetchFrom([server], { env: bench.environment({ lock: pin() }), expected: other }),
    ).rejects.toMatchObject({ code: 'LOCK_MISMATCH', data: { wanted: digest, found: other } })
    expect(server.seen).toEqual([])
  })

  it('says so when --locked finds no pin, and fetches nothing', async () => {
    const server = await serve((request, response) => serveFile(request, response, content))
    await expect(
      fetchFrom([server], { env: bench.environment({ locked: true }), expected: digest }),
    ).rejects.toMatchObject({ code: 'LOCK_MISMATCH' })
    expect(server.seen).toEqual([])
  })

  it('tells people what was pinned', async () => {
    const server = await serve((request, response) => serveFile(request, response, content))
    await fetchFrom([server], { expected: digest })
    expect(ctx.seen).toContainEqual({ kind: 'note', message: `pinned ${locator} ${digest}` })
  })

  it('fetches again what the pool has torn', async () => {
    const server = await serve((request, response) => serveFile(request, response, content))
    const env = bench.environment({ lock: pin() })
    await fetchFrom([server], { env, expected: digest })
    await writeFile(env.pool.path(digest), 'torn')
    expect(await fetchFrom([server], { env, expected: digest })).toMatchObject({ outcome: 'fetched' })
    expect(await stored()).toEqual(whole)
  })
})

describe('without a network', () => {
  it('copies from a file: place', async () => {
    await writeFile(bench.path('a file+1'), content)
    const url = `file://${bench.path('a%20file%2B1')}`
    await fetchFrom([url], { env: bench.environment({ offline: true }), expected: digest })
    expect(await stored()).toEqual(whole)
    expect(await readFile(bench.path('a file+1'))).toEqual(content)
  })

  it.each([
    ['a directory', '', /not a file/],
    ['nothing', '/none', /no such file/],
  ])('refuses %s', async (_name, path, why) => {
    await expect(fetchFrom([`file://${bench.directory}${path}`])).rejects.toMatchObject({
      code: 'ARTIFACT_UNAVAILABLE',
      message: expect.stringMatching(why) as string,
    })
  })

  it('opens no socket, and names what is missing', async () => {
    const server = await serve((request, response) => serveFile(request, response, content))
    const env = bench.environment({ offline: true })
    await expect(fetchFrom([server, `file://${bench.path('none')}`], { env, expected: digest })).rejects.toMatchObject({
      code: 'OFFLINE',
      message: `fetching nothing, as --offline says: not in the cache: file v1 (${locator})`,
    })
    expect(server.seen).toEqual([])
  })

  it('is content with the cache', async () => {
    const server = await serve((request, response) => serveFile(request, response, content))
    await fetchFrom([server])
    const env = bench.environment({ offline: true })
    expect(await fetchFrom([server], { env, expected: digest })).toMatchObject({ outcome: 'cached' })
    expect(server.seen).toHaveLength(1)
  })
})

describe('fetchUrl', () => {
  it('goes through the mirrors and pins the address that was asked for', async () => {
    const server = await serve((request, response) => {
      serveFile(request, response, request.path === '/m/dir/file' ? content : undefined)
    })
    const env = bench.environment({ mirrors: [`https://down.example/=${server.url}/m`] })
    await fetchUrl(new URL('https://down.example/dir/file'), env, ctx, digest)
    expect(env.lock.result().entries.map(entry => entry.locator)).toEqual(['https://down.example/dir/file'])
    expect(await stored()).toEqual(whole)
  })

  it('takes no password, which would stand in the lock, and does not repeat it', async () => {
    const env = bench.environment()
    const refused = fetchUrl(new URL('https://me:geheim@down.example/file'), env, ctx)
    await expect(refused).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.not.stringContaining('geheim') as string,
    })
    expect(env.lock.result().entries).toEqual([])
  })
})
