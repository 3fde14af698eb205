import type { Readable } from 'node:stream'
import type { Context } from '../../core/context.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { redactUrl } from '../../core/redact.ts'
import { drain, type HttpResponse, send, sendFollowing, type Trust } from '../../io/http.ts'
import { retry, type RetryOptions } from '../../io/retry.ts'
import { type Access, Authorizer } from './auth.ts'
import type { Credentials } from './credential.ts'
import { type Endpoint, findEndpoint } from './endpoint.ts'
import { parseChallenges } from './challenge.ts'
import { registryError, type Side } from './registry-error.ts'

export interface ClientOptions {
  readonly credentials: Credentials
  readonly insecure: boolean
  readonly certificates: readonly string[]
  readonly retry: RetryOptions
  readonly authority?: string
  readonly stallMs?: number
}

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** A path below the registry's address, or a URL that the registry gave. */
  readonly to: string | URL
  readonly access: readonly Access[]
  readonly side: Side
  /** For messages: `uploading blob sha256:…`. */
  readonly doing: string
  readonly headers?: Readonly<Record<string, string>>
  /** Called for each try: a body is used up by one. */
  readonly body?: () => Promise<{ readonly stream: Readable; readonly length: number } | Uint8Array>
  /** Statuses that are answers; any other is thrown as an error. */
  readonly accept: readonly number[]
  /** Whether redirects are followed, for GET and HEAD; the first answer is the answer where absent. */
  readonly follow?: boolean
  readonly stallMs?: number
  /** False where the caller tries again by itself. */
  readonly retry?: boolean
}

/** One registry: finds its address once, authenticates, retries what may succeed later, and puts its refusals into our words. */
export class RegistryClient {
  readonly registry: string
  readonly #options: ClientOptions
  readonly #warned = new Set<string>()
  #found: Promise<{ readonly endpoint: Endpoint; readonly authorizer: Authorizer }> | undefined

  constructor(registry: string, options: ClientOptions) {
    this.registry = registry
    this.#options = options
  }

  get retryOptions(): RetryOptions {
    return this.#options.retry
  }

  /** The address, looked for at the first call. */
  async endpoint(ctx: Context): Promise<Endpoint> {
    return (await this.#find(ctx)).endpoint
  }

  #find(ctx: Context): Promise<{ readonly endpoint: Endpoint; readonly authorizer: Authorizer }> {
    this.#found ??= retry(
      `contacting ${this.registry}`,
      async () => {
        const endpoint = await findEndpoint(this.registry, this.#options, ctx)
        return { endpoint, authorizer: new Authorizer(endpoint, this.#options.credentials) }
      },
      ctx,
      this.#options.retry,
    ).catch((error: unknown) => {
      this.#found = undefined
      throw error
    })
    return this.#found
  }

  /** @throws REGISTRY_AUTH, REGISTRY_DENIED, IMAGE_NOT_FOUND, REGISTRY_ERROR, NETWORK, CANCELLED. */
  async request(request: RegistryRequest, ctx: Context): Promise<HttpResponse> {
    if (request.retry === false) return await this.#once(request, ctx)
    return await retry(request.doing, () => this.#once(request, ctx), ctx, this.#options.retry)
  }

  async #once(request: RegistryRequest, ctx: Context): Promise<HttpResponse> {
    const { endpoint, authorizer } = await this.#find(ctx)
    const url = typeof request.to === 'string' ? new URL(request.to, endpoint.base) : request.to
    const own = url.origin === endpoint.base.origin
    const header = own ? await authorizer.header(request.access, ctx) : undefined
    let response = await this.#send(request, url, header, endpoint, ctx)
    if (own && response.url.origin === url.origin && wantsOtherHeader(response, authorizer)) {
      const next = await this.#nextHeader(authorizer, request, header, response, ctx)
      // The same header again would be refused again.
      if (next !== undefined && next !== header) {
        await drain(response)
        response = await this.#send(request, url, next, endpoint, ctx)
      }
    }
    this.#passOnWarning(response, ctx)
    if (request.accept.includes(response.status)) return response
    throw await registryError(response, request.doing, request.side)
  }

  async #nextHeader(
    authorizer: Authorizer,
    request: RegistryRequest,
    refused: string | undefined,
    response: HttpResponse,
    ctx: Context,
  ): Promise<string | undefined> {
    try {
      return await authorizer.header(request.access, ctx, refused)
    } catch (error) {
      response.body.destroy()
      throw error
    }
  }

  async #send(
    request: RegistryRequest,
    target: URL,
    authorization: string | undefined,
    endpoint: Endpoint,
    ctx: Context,
  ): Promise<HttpResponse> {
    let url = target
    let secret = authorization
    for (let hops = 0; ; hops++) {
      const body = await request.body?.()
      const { method, headers } = request
      const stallMs = this.#options.stallMs ?? request.stallMs
      const prepared = {
        url,
        headers: { ...headers, ...(secret === undefined ? {} : { authorization: secret }) },
        trust: trustFor(url, endpoint),
        ...(stallMs === undefined ? {} : { stallMs }),
      }
      if (method === 'GET' || method === 'HEAD') {
        return await (request.follow === true ? sendFollowing : send)({ ...prepared, method }, ctx)
      }
      const response = await send({ ...prepared, method, ...(body === undefined ? {} : { body }) }, ctx)
      const next = response.headers.location
      if ((response.status !== 307 && response.status !== 308) || next === undefined || hops === 5) return response
      await drain(response)
      const from = url
      url = this.locate(next, from, endpoint)
      if (url.origin !== from.origin) secret = undefined
    }
  }

  /**
   * A Location header as a URL: absolute or relative, its query kept as it is. A proxy that forgot that it speaks https is
   * put right on the same host. @throws REGISTRY_ERROR for a foreign host by plain http.
   */
  locate(location: string, from: URL, endpoint: Endpoint): URL {
    const url = new URL(location, from)
    if (url.protocol === from.protocol || url.protocol === 'https:' || endpoint.insecure) return url
    if (url.protocol === 'http:' && url.hostname === from.hostname) {
      url.protocol = from.protocol
      url.port = from.port
      return url
    }
    throw new CloudimgError(
      'REGISTRY_ERROR',
      `asking registry "${this.registry}": it sends us from https to ${redactUrl(url)}`,
    )
  }

  // RFC 7234 §5.5: `299 - "text"`, for people; each text once.
  #passOnWarning(response: HttpResponse, ctx: Context): void {
    const text = /^299 \S+ "((?:[^"\\]|\\.)*)"/.exec(response.headers.warning ?? '')?.[1]
    if (text === undefined || this.#warned.has(text)) return
    this.#warned.add(text)
    const message = text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ').slice(0, 500)
    ctx.events({ kind: 'warning', code: 'registry-warning', message: `registry "${this.registry}" says: ${message}` })
  }
}

// 401, or 403 of a token that lacks a scope: the registry says in its challenge what it wants to see instead.
function wantsOtherHeader(response: HttpResponse, authorizer: Authorizer): boolean {
  const challenge = response.headers['www-authenticate']
  if (response.status === 401) return authorizer.learn(challenge)
  if (response.status !== 403 || challenge === undefined) return false
  return parseChallenges(challenge).some(({ parameters }) => parameters.error === 'insufficient_scope')
}

// What the user allowed for the registry holds for the storage it sends us to; our client certificate is for it alone.
function trustFor(url: URL, endpoint: Endpoint): Trust {
  if (url.hostname === endpoint.base.hostname) return endpoint.trust
  const { ca, insecure } = endpoint.trust
  return { ...(ca === undefined ? {} : { ca }), ...(insecure === undefined ? {} : { insecure }) }
}

/** Whether trying the same again may help: the connection broke or the registry was busy. */
export function isTransient(error: unknown): error is CloudimgError {
  return isCloudimgError(error) && error.data.retryable === true
}
