import { writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { parseChannels, resolveVersion, versionOfRelease } from '../../../src/artifact/channel.ts'
import { sorted } from '../../../src/artifact/lock.ts'
import { loadTemplate, type Template } from '../../../src/artifact/template.ts'
import { type SeenRequest, startServer, type TestServer } from '../../support/http-server.ts'
import { testContext } from '../../support/test-context.ts'
import { Workbench } from './release-fixture.ts'

const url = 'https://update.k3s.io/v1-release/channels'
const json = JSON.stringify({
  type: 'collection',
  data: [
    { id: 'stable', name: 'stable', latest: 'v1.31.4+k3s1' },
    { id: 'latest', name: 'latest', latest: 'v1.32.0%2Bk3s1' },
    { id: 'v1.26', name: 'v1.26', latest: 'v1.26.0+k3s1' },
    { id: 'testing', name: 'testing', latest: null },
  ],
})

let k3s: Template
let bench: Workbench
const servers: TestServer[] = []

beforeAll(async () => {
  k3s = await loadTemplate('k3s', '/', testContext())
})
beforeEach(async () => {
  bench = await Workbench.open()
})
afterEach(async () => {
  await Promise.all(servers.splice(0).map(server => server.close()))
  await bench.dispose()
})

async function serve(answer: (request: SeenRequest, response: ServerResponse) => void): Promise<TestServer> {
  const server = await startServer(answer)
  servers.push(server)
  return server
}

describe('asked at upstream', () => {
  it.each([
    ['stable', 'v1.31.4+k3s1'],
    ['latest', 'v1.32.0+k3s1'],
    [undefined, 'v1.31.4+k3s1'],
  ])('%s is %s, and is pinned', async (wish, version) => {
    const server = await serve((_request, response) => void response.end(json))
    const env = bench.environment({ mirrors: [`https://update.k3s.io=${server.url}`] })
    expect(await resolveVersion(k3s, wish, env, testContext())).toBe(version)
    expect(server.seen.map(({ path }) => path)).toEqual(['/v1-release/channels'])
    expect(env.lock.result().entries).toEqual([
      { kind: 'channel', locator: `${url}/${wish ?? 'stable'}`, platform: 'any', version },
    ])
  })

  it.each(['v1.31', 'stable'])('%s is taken from the redirect where there is no list', async channel => {
    const server = await serve((request, response) => {
      if (request.path === `/v1-release/channels/${channel}`) {
        const location = 'https://github.com/k3s-io/k3s/releases/tag/v1.31.4%2Bk3s1'
        response.writeHead(302, { location }).end()
      } else response.writeHead(404).end()
    })
    const env = bench.environment({ mirrors: [`https://update.k3s.io=${server.url}`] })
    expect(await resolveVersion(k3s, channel, env, testContext())).toBe('v1.31.4+k3s1')
  })

  it('is asked again after a 503', async () => {
    const server = await startServer((_request, response, self) => {
      if (self.seen.length === 1) response.writeHead(503).end()
      else response.end(json)
    })
    servers.push(server)
    const env = bench.environment({ mirrors: [`https://update.k3s.io=${server.url}`] })
    expect(await resolveVersion(k3s, 'stable', env, testContext())).toBe('v1.31.4+k3s1')
  })

  it('that leads nowhere says so, with the way out', async () => {
    const server = await serve((_request, response) => void response.writeHead(404).end())
    const env = bench.environment({ mirrors: [`https://update.k3s.io=${server.url}`] })
    await expect(resolveVersion(k3s, 'stable', env, testContext())).rejects.toMatchObject({
      code: 'ARTIFACT_UNAVAILABLE',
      message: `looking up k3s channel "stable": reading "${server.url}/v1-release/channels/stable": it answers 404 and names no release`,
      hint: 'name a version, such as k3s@v1.31.4+k3s1',
    })
  })

  it.each([
    ['v1.99', 'ARTIFACT_UNKNOWN', /there is none/],
    ['v1.26', 'ARTIFACT_UNKNOWN', /withdrew it as broken/],
  ])('%s is refused', async (channel, code, message) => {
    const server = await serve((_request, response) => void response.end(json))
    const env = bench.environment({ mirrors: [`https://update.k3s.io=${server.url}`] })
    await expect(resolveVersion(k3s, channel, env, testContext())).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    })
  })
})

describe('at a mirror of the template', () => {
  it('is read from channels.json, also without a network', async () => {
    await writeFile(bench.path('channels.json'), json)
    const env = bench.environment({ mirrors: ['k3s=.'], offline: true })
    expect(await resolveVersion(k3s, 'latest', env, testContext())).toBe('v1.32.0+k3s1')
  })

  it('is read over http', async () => {
    const server = await serve((request, response) => {
      if (request.path === '/k3s/channels.json') response.end(json)
      else response.writeHead(404).end()
    })
    const env = bench.environment({ mirrors: [`k3s=${server.url}/k3s`] })
    expect(await resolveVersion(k3s, 'stable', env, testContext())).toBe('v1.31.4+k3s1')
  })

  it.each([
    ['missing', undefined],
    ['none', 'not json'],
  ])('that is %s is an error that names the file', async (_name, text) => {
    if (text !== undefined) await writeFile(bench.path('channels.json'), text)
    const env = bench.environment({ mirrors: ['k3s=.'] })
    await expect(resolveVersion(k3s, 'stable', env, testContext())).rejects.toMatchObject({
      code: 'ARTIFACT_UNAVAILABLE',
      message: expect.stringContaining(bench.path('channels.json')) as string,
    })
  })
})

describe('with a lock', () => {
  const lock = sorted([{ kind: 'channel', locator: `${url}/stable`, platform: 'any', version: 'v1.30.1+k3s1' }])

  it('asks nobody', async () => {
    const env = bench.environment({ lock, offline: true, locked: true })
    expect(await resolveVersion(k3s, 'stable', env, testContext())).toBe('v1.30.1+k3s1')
  })

  it.each([
    ['LOCK_MISMATCH', { locked: true }],
    ['OFFLINE', { offline: true }],
  ])('is %s where it must not ask', async (code, options) => {
    await expect(
      resolveVersion(k3s, 'latest', bench.environment({ lock, ...options }), testContext()),
    ).rejects.toMatchObject({
      code,
    })
  })
})

it('takes a version as it is written', async () => {
  expect(await resolveVersion(k3s, 'v1.28.2+k3s1', bench.environment({ offline: true }), testContext())).toBe(
    'v1.28.2+k3s1',
  )
})

it('refuses a Kubernetes version with the hint to add the suffix', async () => {
  await expect(resolveVersion(k3s, 'v1.25.3', bench.environment(), testContext())).rejects.toMatchObject({
    code: 'ARTIFACT_UNKNOWN',
    hint: 'write v1.25.3+k3s1',
  })
})

it('has nothing to ask for a template without versions', async () => {
  expect(
    await resolveVersion({ name: 'x', versions: undefined }, undefined, bench.environment(), testContext()),
  ).toBeUndefined()
})

it.each([
  ['https://github.com/k3s-io/k3s/releases/tag/v1.31.4%2Bk3s1', 'v1.31.4+k3s1'],
  ['/releases/tag/v1.31.4+k3s1?x=1', 'v1.31.4+k3s1'],
  [undefined, undefined],
])('the release of %s is %s', (location, version) => {
  expect(versionOfRelease(location)).toBe(version)
})

it.each(['', '<html>', '[]', '{"data":{}}'])('"%s" is no list of channels', text => {
  expect(parseChannels(text)).toBeUndefined()
})
