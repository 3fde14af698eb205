import { Readable } from 'node:stream'
import type * as Undici from 'undici'
import { MiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import { CloudimgError, errnoOf, reasonOf } from '../core/error.ts'
import { redactUrl } from '../core/redact.ts'
import { atEnd } from './at-end.ts'
import { proxyFor } from './proxy.ts'

/** How a server's certificate is judged: `ca` is PEM added to the system's, `insecure` takes any certificate. */
export interface Trust {
  readonly ca?: string
  readonly insecure?: boolean
  /** What this side shows where a server asks for a certificate of its clients; PEM. */
  readonly client?: { readonly cert: string; readonly key: string }
}

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  /** A stream needs its length. It is used up by one try: callers that retry open it anew. */
  readonly body?: string | Uint8Array | { readonly stream: Readable; readonly length: number }
  readonly trust?: Trust
  /** Milliseconds without a byte in either direction before giving up; 60,000 unless told. */
  readonly stallMs?: number
}

export interface HttpResponse {
  readonly status: number
  /** Lower-case names; repeated headers joined by ", ". */
  readonly headers: Readonly<Record<string, string>>
  /** Must be read to its end or destroyed. */
  readonly body: Readable
  readonly url: URL
}

export const userAgent = 'cloudimg/0.1'

/** Loaded by the first request: most commands make none, and it is a third of their time to start. */
const undici = (): Promise<typeof Undici> => import('undici')

const dispatchers = new Map<string, Undici.Dispatcher>()

// One pool per way of trusting. HTTP/1.1 for blobs: HTTP/2 in undici is slower for bulk. Timeouts are ours: a PUT of
// 700 MB may be answered minutes after its last byte, and only silence is a reason to give up (facts/oci.md §9.3).
function dispatcherFor({ Agent, ProxyAgent }: typeof Undici, url: URL, trust: Trust | undefined): Undici.Dispatcher {
  const proxy = findProxy(url)
  const key = JSON.stringify([proxy, trust?.insecure === true, trust?.ca, trust?.client])
  let dispatcher = dispatchers.get(key)
  if (dispatcher === undefined) {
    const tls = tlsOptions(trust)
    const options = {
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 10_000,
      connect: { ...tls, timeout: 30_000 },
    }
    dispatcher =
      proxy === undefined ? new Agent(options) : new ProxyAgent({ ...options, uri: proxy.href, requestTls: tls })
    atEnd(closeConnections)
    dispatchers.set(key, dispatcher)
  }
  return dispatcher
}

function findProxy(url: URL): URL | undefined {
  try {
    return proxyFor(url, process.env)
  } catch {
    throw new CloudimgError('USAGE', `contacting ${url.host}: the proxy in the environment is not a URL`, {
      hint: 'set HTTPS_PROXY and HTTP_PROXY to http://HOST:PORT, or unset them',
    })
  }
}

// Node's `ca` replaces the authorities it trusts by itself: ours come in addition. `tls` is loaded late, as undici is.
function tlsOptions(trust: Trust | undefined): {
  readonly ca?: string[]
  readonly rejectUnauthorized?: boolean
  readonly cert?: string
  readonly key?: string
} {
  return {
    ...(trust?.ca === undefined
      ? {}
      : { ca: [...process.getBuiltinModule('node:tls').getCACertificates('default'), trust.ca] }),
    ...(trust?.insecure === true ? { rejectUnauthorized: false } : {}),
    ...trust?.client,
  }
}

/** Closes kept-alive connections, so that a program which is done can end. */
export async function closeConnections(): Promise<void> {
  const open = [...dispatchers.values()]
  dispatchers.clear()
  await Promise.all(open.map(dispatcher => dispatcher.destroy()))
}

/** One request, one answer, no redirect followed, whatever the status. @throws NETWORK (`retryable` in its data) or CANCELLED. */
export async function send(req: HttpRequest, ctx: Context): Promise<HttpResponse> {
  const watchdog = new Watchdog(ctx.signal, req.stallMs ?? 60_000)
  const streamed = typeof req.body === 'object' && 'stream' in req.body ? req.body : undefined
  let sourceError: unknown
  // A source that breaks is our trouble, not the network's: its own error is the one to show.
  streamed?.stream.once('error', error => (sourceError = error))
  const body = streamed === undefined ? (req.body as string | Uint8Array | undefined) : watchdog.sent(streamed.stream)
  try {
    const client = await undici()
    const answer = await client.request(req.url, {
      method: req.method,
      headers: {
        'user-agent': userAgent,
        ...(streamed === undefined ? {} : { 'content-length': String(streamed.length) }),
        ...req.headers,
      },
      body: body === undefined ? null : body,
      dispatcher: dispatcherFor(client, req.url, req.trust),
      signal: watchdog.signal,
    })
    watchdog.touch()
    return {
      status: answer.statusCode,
      headers: flatten(answer.headers),
      body: new ResponseBody(answer.body, watchdog, reason => networkError(req, reason, ctx, watchdog)),
      url: req.url,
    }
  } catch (error) {
    watchdog.stop()
    streamed?.stream.destroy()
    throw networkError(req, sourceError instanceof CloudimgError ? sourceError : error, ctx, watchdog)
  }
}

// Headers that may follow a redirect to another origin: nothing of ours that could carry a secret.
const portableHeaders = new Set(['accept', 'range', 'if-range', 'if-none-match', 'user-agent'])

/** GET or HEAD that follows up to 10 redirects. To another origin only harmless headers go along; https never becomes http. */
export async function sendFollowing(
  req: HttpRequest & { readonly method: 'GET' | 'HEAD' },
  ctx: Context,
): Promise<HttpResponse> {
  let current: HttpRequest = req
  for (let hops = 0; ; hops++) {
    const response = await send(current, ctx)
    const location = response.headers.location
    if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined) return response
    await drain(response)
    const url = new URL(location, current.url)
    if (hops === 10) throw new CloudimgError('NETWORK', `${req.method} ${redactUrl(req.url)}: more than 10 redirects`)
    if (current.url.protocol === 'https:' && url.protocol !== 'https:') {
      throw new CloudimgError(
        'NETWORK',
        `${req.method} ${redactUrl(req.url)}: redirected from https to ${redactUrl(url)}`,
      )
    }
    current = {
      ...current,
      url,
      ...(url.origin === current.url.origin
        ? {}
        : { headers: onlyPortable(current.headers), ...withoutClient(current.trust) }),
    }
  }
}

// A certificate that says who we are is for the server it was configured for.
function withoutClient(trust: Trust | undefined): { readonly trust?: Trust } {
  if (trust?.client === undefined) return {}
  const { client: _client, ...rest } = trust
  return { trust: rest }
}

function onlyPortable(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => portableHeaders.has(name.toLowerCase())))
}

/** The whole body as bytes. @throws SIZE_MISMATCH beyond `maxBytes`. */
export async function readBody(response: HttpResponse, maxBytes = 4 * MiB): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) {
      response.body.destroy()
      throw new CloudimgError('SIZE_MISMATCH', `reading ${redactUrl(response.url)}: more than ${maxBytes} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Throws the rest away so that the connection can serve again; a long rest costs the connection instead. */
export async function drain(response: HttpResponse): Promise<void> {
  if (response.body.closed) return
  let left = MiB
  response.body.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) response.body.destroy()
  })
  await new Promise<void>(resolve => {
    response.body.once('close', resolve).once('error', () => resolve())
  })
}

/** Seconds, a date (RFC 9110 §10.2.3), or Docker Hub's seconds since 1970 → milliseconds from now. */
export function retryAfterMs(response: HttpResponse): number | undefined {
  const text = response.headers['retry-after']
  if (text === undefined) return undefined
  const seconds = Number(text)
  const at = seconds > 1e9 ? seconds * 1000 : Date.parse(text)
  const wait = Number.isFinite(seconds) && seconds <= 1e9 ? seconds * 1000 : at - Date.now()
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined
}

/** Aborts a request after a time without any byte; waits for the user to cancel, too. */
class Watchdog {
  readonly #controller = new AbortController()
  readonly stallMs: number
  readonly #outer: AbortSignal
  readonly #onAbort = (): void => this.#controller.abort(this.#outer.reason)
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  stalled = false

  constructor(outer: AbortSignal, stallMs: number) {
    this.#outer = outer
    this.stallMs = stallMs
    if (outer.aborted) this.#onAbort()
    else outer.addEventListener('abort', this.#onAbort, { once: true })
    this.touch()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** A byte came or went, or is waited for from now on. */
  touch(): void {
    if (this.#stopped) return
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.stalled = true
        this.#controller.abort(new Error(`no byte for ${this.stallMs / 1000} s`))
      }, this.stallMs)
      this.#timer.unref()
    } else this.#timer.refresh()
  }

  /** Nobody waits for the other side now: a slow reader here is no silence there. */
  hold(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  stop(): void {
    this.#stopped = true
    this.hold()
    this.#outer.removeEventListener('abort', this.#onAbort)
  }

  /** The stream itself, with the timer set back by every chunk. */
  sent(stream: Readable): Readable {
    return stream.on('data', () => this.touch()).pause()
  }
}

/** Passes an answer's bytes on with large buffers and our own words for a broken connection. */
class ResponseBody extends Readable {
  readonly #source: Readable
  readonly #watchdog: Watchdog

  constructor(source: Readable, watchdog: Watchdog, explain: (reason: unknown) => Error) {
    super({ highWaterMark: MiB })
    this.#source = source
    this.#watchdog = watchdog
    // A connection may break while the receiver is busy with something else: whoever reads then gets the error, not the process.
    this.on('error', () => undefined)
    source.on('data', (chunk: Buffer) => {
      if (this.push(chunk)) watchdog.touch()
      else {
        watchdog.hold()
        source.pause()
      }
    })
    source.once('end', () => this.push(null))
    source.once('error', error => this.destroy(explain(error)))
    source.once('close', () => {
      if (!source.readableEnded && !this.destroyed) this.destroy(explain(new Error('the connection was cut')))
    })
    source.pause()
    watchdog.hold()
  }

  override _read(): void {
    this.#watchdog.touch()
    this.#source.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#watchdog.stop()
    this.#source.destroy()
    done(error)
  }
}

const networkReasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name cannot be looked up now',
  ETIMEDOUT: 'timed out',
  UND_ERR_CONNECT_TIMEOUT: 'timed out connecting',
  ENETUNREACH: 'the network is unreachable',
  EHOSTUNREACH: 'the host is unreachable',
}

const finalErrnos = new Set(['ENOTFOUND', 'ENETUNREACH'])

function networkError(req: HttpRequest, error: unknown, ctx: Context, watchdog: Watchdog): CloudimgError {
  if (error instanceof CloudimgError) return error
  const doing = `${req.method} ${redactUrl(req.url)}`
  if (ctx.signal.aborted) return new CloudimgError('CANCELLED', `${doing}: cancelled`, { cause: error })
  if (watchdog.stalled)
    return new CloudimgError('NETWORK', `${doing}: no byte for ${watchdog.stallMs / 1000} s`, {
      cause: error,
      data: { retryable: true },
    })
  const errno = errnoOf(error) ?? ''
  const why = networkReasons[errno] ?? reasonOf(error)
  const tls = /certificate|self.signed|SSL|TLS/i.test(`${errno} ${why}`)
  return new CloudimgError('NETWORK', `${doing}: ${why}`, {
    cause: error,
    data: { retryable: !tls && !finalErrnos.has(errno), errno },
    ...(tls ? { hint: 'add the authority to NODE_EXTRA_CA_CERTS or /etc/docker/certs.d/<host>/ca.crt' } : {}),
  })
}

function flatten(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name.toLowerCase()] = Array.isArray(value) ? value.join(', ') : value
  }
  return flat
}
