import * as z from 'zod'
import type { Context } from '../../core/context.ts'
import { parseJson } from '../../core/json.ts'
import { CloudimgError } from '../../core/error.ts'
import { drain, type HttpRequest, type HttpResponse, readBody, send } from '../../io/http.ts'
import { limits } from '../../io/limits.ts'
import { basicHeader, type Credential } from './credential.ts'
import type { Endpoint } from './endpoint.ts'
import { registryError } from './registry-error.ts'

/** What a bearer challenge asks for, and as whom. */
export interface TokenRequest {
  readonly realm: URL
  readonly service: string | undefined
  /** `repository:a/b:pull,push` … */
  readonly scopes: readonly string[]
  readonly credential: Credential | undefined
}

export interface Token {
  readonly value: string
  /** Milliseconds it is good for, from the time it was asked for. */
  readonly lifeMs: number
}

const clientId = 'cloudimg'

const schema = z.object({
  token: z.string().min(1).optional(),
  access_token: z.string().min(1).optional(),
  expires_in: z.number().nonnegative().optional(),
})

/**
 * Asks a token server (distribution's token authentication). Identity tokens go by OAuth2; servers that know no POST
 * are asked by GET. @throws REGISTRY_AUTH where the credentials are refused.
 */
export async function fetchToken(request: TokenRequest, endpoint: Endpoint, ctx: Context): Promise<Token> {
  if (request.credential?.kind === 'identity-token') {
    const response = await post(request, request.credential.token, endpoint, ctx)
    if (response.status !== 404 && response.status !== 405) return await readToken(response, endpoint)
    await drain(response)
  }
  return await readToken(await get(request, endpoint, ctx), endpoint)
}

// The trust of the registry holds for its token server on the same host only; our patience is the same.
function mannersFor(realm: URL, { base, trust, insecure, stallMs }: Endpoint): Pick<HttpRequest, 'trust' | 'stallMs'> {
  const elsewhere = insecure ? { insecure } : {}
  return {
    trust: realm.hostname === base.hostname ? trust : elsewhere,
    ...(stallMs === undefined ? {} : { stallMs }),
  }
}

async function post(request: TokenRequest, token: string, endpoint: Endpoint, ctx: Context): Promise<HttpResponse> {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: clientId, refresh_token: token })
  if (request.service !== undefined) form.set('service', request.service)
  if (request.scopes.length > 0) form.set('scope', request.scopes.join(' '))
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  return await send(
    { method: 'POST', url: request.realm, headers, body: form.toString(), ...mannersFor(request.realm, endpoint) },
    ctx,
  )
}

async function get(request: TokenRequest, endpoint: Endpoint, ctx: Context): Promise<HttpResponse> {
  const url = new URL(request.realm)
  if (request.service !== undefined) url.searchParams.set('service', request.service)
  for (const scope of request.scopes) url.searchParams.append('scope', scope)
  url.searchParams.set('client_id', clientId)
  const header = getHeader(request.credential)
  const headers: Record<string, string> = header === undefined ? {} : { authorization: header }
  return await send({ method: 'GET', url, headers, ...mannersFor(request.realm, endpoint) }, ctx)
}

function getHeader(credential: Credential | undefined): string | undefined {
  if (credential?.kind === 'basic') return basicHeader(credential.username, credential.password)
  // Docker's convention for identity tokens: the user name says that the password is one.
  if (credential?.kind === 'identity-token') return basicHeader('<token>', credential.token)
  return undefined
}

async function readToken(response: HttpResponse, endpoint: Endpoint): Promise<Token> {
  const doing = `asking for a token for "${endpoint.registry}"`
  if (response.status !== 200) throw await refused(response, doing, endpoint)
  const text = (await readBody(response, limits.tokenBytes)).toString('utf8')
  const parsed = schema.safeParse(parseJson(text))
  const value = parsed.data?.token ?? parsed.data?.access_token
  // The token goes into a header as it is: nothing but what RFC 6750 allows there.
  if (value === undefined || !/^[\x21-\x7e]+$/.test(value))
    throw new CloudimgError('REGISTRY_ERROR', `${doing}: the token server's answer holds no token`)
  return { value, lifeMs: (parsed.data?.expires_in ?? 60) * 1000 }
}

async function refused(response: HttpResponse, doing: string, endpoint: Endpoint): Promise<CloudimgError> {
  const error = await registryError(response, doing, 'source')
  if (response.status < 400 || response.status >= 500 || response.status === 429) return error
  return new CloudimgError('REGISTRY_AUTH', error.message, {
    cause: error,
    hint: `log in with: cloudimg login ${endpoint.registry}`,
    data: { status: response.status },
  })
}
