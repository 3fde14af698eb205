import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { selfSigned } from './certificates.ts'
import { startServer, type SeenRequest } from './http-server.ts'

export interface Credentials {
  readonly user: string
  readonly password: string
}

/** Someone asked for a token: by which way, as whom (undefined: nobody), for what. */
export interface TokenRequest {
  readonly method: string
  readonly user: string | undefined
  readonly scopes: readonly string[]
}

export interface TokenServer extends AsyncDisposable {
  readonly realm: string
  readonly service: string
  readonly issuer: string
  /** The certificate that the registry must trust. */
  readonly certFile: string
  readonly requests: readonly TokenRequest[]
}

export interface TokenServerOptions {
  readonly credentials: Credentials
  /** Nobody gets `pull` when asking for it. */
  readonly anonymousPull: boolean
}

/** Docker's token protocol (distribution spec "token authentication"), GET with Basic and POST as OAuth2, on loopback. */
export async function startTokenServer(directory: string, options: TokenServerOptions): Promise<TokenServer> {
  const certFile = join(directory, 'token.pem')
  await selfSigned(certFile, join(directory, 'token.key'), '/CN=cloudimg test tokens')
  const signer = { certificate: await readFile(certFile), key: await readFile(join(directory, 'token.key')) }
  const issuer = 'cloudimg-test-tokens'
  const service = 'cloudimg-test-registry'
  const requests: TokenRequest[] = []
  const server = await startServer((request, response) => {
    const asked = readRequest(request)
    const user = checkLogin(asked.login, options.credentials)
    requests.push({ method: request.method, user, scopes: asked.scopes })
    if (user === undefined && asked.login !== undefined) {
      response.writeHead(401, { 'content-type': 'application/json' })
      response.end('{"errors":[{"code":"UNAUTHORIZED","message":"wrong user or password"}]}')
      return
    }
    const access = asked.scopes.map(scope => grant(scope, user !== undefined, options.anonymousPull))
    const token = signToken({ iss: issuer, aud: service, sub: user ?? '', access }, signer)
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ token, access_token: token, expires_in: 300, issued_at: new Date().toISOString() }))
  })
  const realm = `${server.url}/token`
  return { realm, service, issuer, certFile, requests, [Symbol.asyncDispose]: async () => await server.close() }
}

interface Asked {
  readonly login: Credentials | undefined
  readonly scopes: readonly string[]
}

function readRequest(request: SeenRequest): Asked {
  if (request.method === 'POST') {
    const form = new URLSearchParams(request.body.toString())
    return {
      login: { user: form.get('username') ?? '', password: form.get('password') ?? '' },
      scopes: splitScopes(form.getAll('scope')),
    }
  }
  const url = new URL(request.path, 'http://127.0.0.1')
  const basic = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1]
  const [user = '', ...rest] = Buffer.from(basic ?? '', 'base64')
    .toString()
    .split(':')
  return {
    login: basic === undefined ? undefined : { user, password: rest.join(':') },
    scopes: splitScopes(url.searchParams.getAll('scope')),
  }
}

/** Clients send several scopes as several parameters, or as one with blanks. */
function splitScopes(scopes: readonly string[]): readonly string[] {
  return scopes.flatMap(scope => scope.split(' ')).filter(scope => scope !== '')
}

function checkLogin(login: Credentials | undefined, known: Credentials): string | undefined {
  return login?.user === known.user && login.password === known.password ? login.user : undefined
}

function grant(scope: string, loggedIn: boolean, anonymousPull: boolean): object {
  // The repository's name may hold a port's colon: type is before the first, actions are behind the last.
  const type = scope.slice(0, scope.indexOf(':'))
  const name = scope.slice(scope.indexOf(':') + 1, scope.lastIndexOf(':'))
  const wanted = scope.slice(scope.lastIndexOf(':') + 1).split(',')
  return { type, name, actions: loggedIn ? wanted : wanted.filter(action => anonymousPull && action === 'pull') }
}

interface Signer {
  readonly certificate: Buffer
  readonly key: Buffer
}

function signToken(claims: object, signer: Signer): string {
  const now = Math.floor(Date.now() / 1000)
  const x5c = [new X509Certificate(signer.certificate).raw.toString('base64')]
  const body = { ...claims, jti: randomUUID(), iat: now, nbf: now - 60, exp: now + 300 }
  const signed = [{ typ: 'JWT', alg: 'ES256', x5c }, body].map(encodePart).join('.')
  const key = { key: createPrivateKey(signer.key), dsaEncoding: 'ieee-p1363' } as const
  return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
}

function encodePart(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
