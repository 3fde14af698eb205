import { afterEach, describe, expect, it } from 'vitest'
import { checkLogin } from '../../../../src/oci/remote/check-login.ts'
import type { Credential } from '../../../../src/oci/remote/credential.ts'
import type { SeenRequest, TestServer } from '../../../support/http-server.ts'
import { sample } from '../../../support/sample-image.ts'
import {
  type Answer,
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

const basic: Credential = { kind: 'basic', username: 'u', password: 'p:w' }
const basicHeader = `Basic ${btoa('u:p:w')}`

/** Asks for a bearer token wherever none, or one that does not fit, is shown. */
function guarded(fits: (token: string, request: SeenRequest) => boolean, answer: Answer): Answer {
  return async (request, response, server) => {
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1]
    if (token !== undefined && fits(token, request)) await answer(request, response, server)
    else {
      const challenge = `Bearer realm="${server.url}/token",service="svc"`
      await refusal(401, 'UNAUTHORIZED', 'who are you', { 'www-authenticate': challenge })(request, response, server)
    }
  }
}

/** A registry behind a token server; a token is the scopes that were asked for. */
async function tokenRegistry(
  more: Readonly<Record<string, Answer>> = {},
  token: Answer = scopesAsToken,
): Promise<TestServer> {
  const server = await scriptedRegistry({
    'GET /v2/': guarded(() => false, plain(200)),
    'GET /token': token,
    'HEAD /v2/r/x/blobs/': guarded(hasScope, plain(404)),
    'GET /v2/r/x/manifests/': guarded(hasScope, plain(404)),
    'GET /v2/r/x/blobs/': guarded(hasScope, plain(200, 'hello')),
    ...more,
  })
  servers.push(server)
  return server
}

function hasScope(token: string): boolean {
  return token.includes('repository:r/x:pull')
}

const scopesAsToken: Answer = (request, response) => {
  const scopes = new URL(request.path, 'http://x').searchParams.getAll('scope').join('|')
  response.end(JSON.stringify({ token: `t|${scopes}`, expires_in: 300 }))
}

function tokenRequests(server: TestServer): readonly SeenRequest[] {
  return server.seen.filter(({ path }) => path.startsWith('/token'))
}

describe('bearer tokens', () => {
  it('are asked for by what the request needs, with the credential, and kept', async () => {
    const server = await tokenRegistry()
    const repository = repositoryAt(server, { credential: basic })
    expect(await repository.resolve('v1', testContext())).toBeUndefined()
    expect(await repository.resolve('v2', testContext())).toBeUndefined()
    expect(tokenRequests(server)).toHaveLength(1)
    expect(tokenRequests(server)[0]).toMatchObject({
      path: '/token?service=svc&scope=repository%3Ar%2Fx%3Apull&client_id=cloudimg',
      headers: { authorization: basicHeader },
    })
  })

  it('are asked for without a credential where there is none', async () => {
    const server = await tokenRegistry()
    await repositoryAt(server).resolve('v1', testContext())
    expect(tokenRequests(server)[0]?.headers).not.toHaveProperty('authorization')
  })

  it('are asked for once by many at a time, and for other scopes apart', async () => {
    const server = await tokenRegistry({ 'POST /v2/r/x/blobs/uploads/': plain(500) })
    const repository = repositoryAt(server, { credential: basic, retry: { attempts: 1 } })
    await Promise.all(['a', 'b', 'c', 'd'].map(name => repository.resolve(name, testContext())))
    expect(tokenRequests(server)).toHaveLength(1)
    const { descriptor, source } = sample('x')
    await expect(repository.write(descriptor, source, testContext())).rejects.toThrow('status 500')
    expect(tokenRequests(server).map(({ path }) => new URL(path, 'http://x').searchParams.get('scope'))).toEqual([
      'repository:r/x:pull',
      'repository:r/x:pull,push',
    ])
  })

  it('are asked for anew once they are old', async () => {
    const server = await tokenRegistry({}, (_request, response) => {
      response.end(JSON.stringify({ access_token: 't|repository:r/x:pull', expires_in: 0 }))
    })
    const repository = repositoryAt(server)
    await repository.resolve('a', testContext())
    await repository.resolve('b', testContext())
    expect(tokenRequests(server)).toHaveLength(2)
  })

  it('are asked for anew, once, where the registry takes them no more', async () => {
    let serial = 0
    const valid = (token: string): boolean => token === 'token-2'
    const server = await tokenRegistry(
      { 'GET /v2/r/x/manifests/': guarded(valid, plain(404)) },
      (_request, response) => void response.end(JSON.stringify({ token: `token-${++serial}`, expires_in: 300 })),
    )
    const repository = repositoryAt(server)
    expect(await repository.resolve('a', testContext())).toBeUndefined()
    expect(tokenRequests(server)).toHaveLength(2)
  })

  it('that lack a scope are replaced once', async () => {
    let serial = 0
    const lacking = { 'www-authenticate': 'Bearer realm="x",error="insufficient_scope"' }
    const server = await tokenRegistry(
      {
        'GET /v2/r/x/manifests/': (request, response, started) =>
          inTurn(
            request.headers.authorization === 'Bearer token-2'
              ? plain(404)
              : refusal(403, 'DENIED', '', {
                  ...lacking,
                  'www-authenticate': `Bearer realm="${started.url}/token",error="insufficient_scope"`,
                }),
          )(request, response, started),
      },
      (_request, response) => void response.end(JSON.stringify({ token: `token-${++serial}` })),
    )
    expect(await repositoryAt(server).resolve('a', testContext())).toBeUndefined()
    expect(lines(server).filter(line => line.includes('/manifests/'))).toHaveLength(2)
  })

  it.each([
    ['no JSON', plain(200, 'nope')],
    ['no token', plain(200, '{}')],
    ['a token with a line break', plain(200, JSON.stringify({ token: 'a\r\nx: y' }))],
    ['more than 64 KiB', plain(200, JSON.stringify({ token: 'x'.repeat(70_000) }))],
  ])('are not taken from an answer with %s', async (_what, answer) => {
    const server = await tokenRegistry({}, answer)
    await expect(repositoryAt(server).resolve('a', testContext())).rejects.toThrow(/token|more than 65536/)
  })

  it.each([401, 403, 400])('say that the credentials were refused where the token server answers %i', async status => {
    const server = await tokenRegistry({}, refusal(status, 'DENIED', 'no such account'))
    await expect(repositoryAt(server, { credential: basic }).resolve('a', testContext())).rejects.toMatchObject({
      code: 'REGISTRY_AUTH',
      message: expect.stringContaining('DENIED: no such account'),
      hint: `log in with: cloudimg login ${server.host}`,
    })
  })

  it('are asked for again where the token server is busy', async () => {
    const server = await tokenRegistry({}, inTurn(refusal(503, 'BUSY'), scopesAsToken))
    expect(await repositoryAt(server).resolve('a', testContext())).toBeUndefined()
  })

  it('are used as they are where the credential is one', async () => {
    const server = await tokenRegistry({ 'GET /v2/r/x/manifests/': guarded(token => token === 'own', plain(404)) })
    const repository = repositoryAt(server, { credential: { kind: 'registry-token', token: 'own' } })
    expect(await repository.resolve('a', testContext())).toBeUndefined()
    expect(tokenRequests(server)).toHaveLength(0)
  })

  it('restart an upload from its first byte when they expire in the middle of it', async () => {
    const { descriptor, bytes, source } = sample(Buffer.alloc(200_000, 'x'))
    let valid = 1
    let serial = 0
    const server = await tokenRegistry(
      {
        'HEAD /v2/r/x/blobs/': guarded(token => token === `t${valid}`, plain(404)),
        'POST /v2/r/x/blobs/uploads/': guarded(
          token => token === `t${valid}`,
          (request, response, started) => {
            valid = 2
            return plain(202, '', { location: '/v2/r/x/blobs/uploads/1?state=a' })(request, response, started)
          },
        ),
        'PUT /v2/r/x/blobs/uploads/1': guarded(token => token === `t${valid}`, plain(201)),
      },
      (_request, response) => void response.end(JSON.stringify({ token: `t${++serial}` })),
    )
    expect(await repositoryAt(server).write(descriptor, source, testContext())).toBe('written')
    const puts = server.seen.filter(({ method }) => method === 'PUT')
    expect(puts.map(({ headers }) => headers.authorization)).toEqual(['Bearer t1', 'Bearer t2'])
    expect(puts[1]?.body).toEqual(bytes)
  })
})

describe('identity tokens', () => {
  const identity: Credential = { kind: 'identity-token', token: 'refresh me' }

  it('are exchanged by OAuth2', async () => {
    const server = await tokenRegistry({
      'POST /token': plain(200, JSON.stringify({ access_token: 'repository:r/x:pull' })),
    })
    await repositoryAt(server, { credential: identity }).resolve('a', testContext())
    const form = new URLSearchParams(tokenRequests(server)[0]?.body.toString())
    expect(Object.fromEntries(form)).toEqual({
      grant_type: 'refresh_token',
      client_id: 'cloudimg',
      refresh_token: 'refresh me',
      service: 'svc',
      scope: 'repository:r/x:pull',
    })
    expect(tokenRequests(server)).toHaveLength(1)
  })

  it.each([404, 405])('are shown by GET where POST is answered by %i', async status => {
    const server = await tokenRegistry({ 'POST /token': plain(status) })
    expect(await repositoryAt(server, { credential: identity }).resolve('a', testContext())).toBeUndefined()
    expect(tokenRequests(server)[1]).toMatchObject({
      method: 'GET',
      headers: { authorization: `Basic ${btoa('<token>:refresh me')}` },
    })
  })
})

describe('other ways', () => {
  it('shows Basic where the registry asks for it', async () => {
    const server = await scriptedRegistry({
      'GET /v2/': refusal(401, 'UNAUTHORIZED', '', { 'www-authenticate': 'Basic realm="r"' }),
      'GET /v2/r/x/manifests/': plain(404),
    })
    servers.push(server)
    await repositoryAt(server, { credential: basic }).resolve('a', testContext())
    expect(server.seen.at(-1)?.headers.authorization).toBe(basicHeader)
  })

  it('names what it does not know', async () => {
    const server = await scriptedRegistry({ 'GET /v2/': plain(401, '', { 'www-authenticate': 'Negotiate, NTLM' }) })
    servers.push(server)
    await expect(repositoryAt(server).resolve('a', testContext())).rejects.toMatchObject({
      code: 'REGISTRY_AUTH',
      message: expect.stringContaining('it offers "negotiate", "ntlm"'),
    })
  })

  it('learns from a repository that asks although the registry did not', async () => {
    const server = await tokenRegistry({ 'GET /v2/': plain(200, '{}') })
    expect(await repositoryAt(server).resolve('a', testContext())).toBeUndefined()
    expect(tokenRequests(server)).toHaveLength(1)
  })

  it('does not send a refused password a second time', async () => {
    const denied = refusal(401, 'UNAUTHORIZED', 'wrong', { 'www-authenticate': 'Basic realm="r"' })
    const server = await scriptedRegistry({ 'GET /v2/': denied, 'GET /v2/r/x/manifests/': denied })
    servers.push(server)
    await expect(repositoryAt(server, { credential: basic }).resolve('a', testContext())).rejects.toMatchObject({
      code: 'REGISTRY_AUTH',
      message: expect.stringContaining('UNAUTHORIZED: wrong'),
    })
    expect(lines(server).filter(line => line.includes('/manifests/'))).toHaveLength(1)
  })
})

describe('checkLogin', () => {
  it('asks for a token without a scope and shows it', async () => {
    const server = await tokenRegistry({ 'GET /v2/': guarded(token => token === 't|', plain(200, '{}')) })
    await checkLogin(server.host, basic, { certificates: [] }, testContext())
    expect(tokenRequests(server)[0]?.headers.authorization).toBe(basicHeader)
  })

  it('says that the registry refuses', async () => {
    const server = await tokenRegistry({}, refusal(401, 'UNAUTHORIZED', 'wrong'))
    await expect(checkLogin(server.host, basic, { certificates: [] }, testContext())).rejects.toMatchObject({
      code: 'REGISTRY_AUTH',
      hint: 'check the user name and the password or token',
    })
  })
})
