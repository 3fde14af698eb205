import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { type AddressInfo, isIPv6 } from 'node:net'
import type { Context, Event, EventSink } from '../../core/context.ts'
import { CloudimgError, reasonOf } from '../../core/error.ts'
import { parseReference } from '../../core/reference.ts'
import { isReadOnlyDisk } from '../../io/files.ts'
import { Refusal, refusalOf, sendJson, sendRefusal } from './answer.ts'
import { answerBlob } from './blobs.ts'
import { type Exchange, isHead, refuseMethod } from './exchange.ts'
import { answerCatalog, answerReferrers, answerTags } from './listings.ts'
import { answerManifest } from './manifests.ts'
import { parseRoute } from './route.ts'
import type { ServeStore } from './serve-store.ts'
import { Uploads } from './uploads.ts'
import type { Users } from './users.ts'

export interface ServeOptions {
  readonly store: ServeStore
  /** The address to listen at; 127.0.0.1 unless told. */
  readonly host?: string
  /** 0, the default, takes any free port. */
  readonly port?: number
  /** Who may use the registry; everybody unless told. Reading and writing alike. */
  readonly users?: Users
  /** PEM; plain http unless told. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** Refuses pushes; false unless told. */
  readonly readOnly?: boolean
  readonly events?: EventSink
}

export interface RunningRegistry {
  /** `http://127.0.0.1:5000` */
  readonly url: string
  /** As image references have it: `127.0.0.1:5000`. */
  readonly host: string
  /** Takes no more connections, waits for what is under way as long as told (0 unless told), and cuts the rest. */
  close(graceMs?: number): Promise<void>
}

/**
 * A registry over a store (distribution-spec 1.1: pull, push, discovery, management). Bytes stream through; no blob is
 * held in memory. @throws USAGE for a certificate that cannot be used; NETWORK where the address cannot be listened at.
 */
export async function serveRegistry(options: ServeOptions): Promise<RunningRegistry> {
  const stopping = new AbortController()
  const ctx: Context = { signal: stopping.signal, events: options.events ?? (() => undefined) }
  const uploads = new Uploads()
  const closing = { started: false }
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    if (closing.started) response.setHeader('connection', 'close')
    void answer(request, response, { options, uploads, ctx, ownHost: () => host })
  }
  // A push of many gigabytes takes longer than Node's five minutes for a whole request; stalled headers still end.
  const limits = { requestTimeout: 0, keepAliveTimeout: 75_000 }
  const server =
    options.tls === undefined
      ? (await import('node:http')).createServer(limits, listener)
      : await tlsServer(options.tls, limits, listener)
  const address = await listen(server, options.host ?? '127.0.0.1', options.port ?? 0)
  const name = isIPv6(address.address) ? `[${address.address}]` : address.address
  const host = `${name}:${address.port}`
  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://${host}`,
    host,
    close: async (graceMs = 0) => {
      closing.started = true
      const closed = new Promise<void>(resolve => {
        server.close(() => resolve())
      })
      await drained(server, closed, graceMs)
      stopping.abort(new CloudimgError('CANCELLED', 'serving the registry: stopped'))
      server.closeAllConnections()
      await closed
      await uploads.close()
    },
  }
}

// A connection that has been answered is idle, and is closed, so that its client does not hold up the end.
async function drained(server: Server, closed: Promise<void>, graceMs: number): Promise<void> {
  if (graceMs === 0) return
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, graceMs)
  await Promise.race([closed, late])
  clearTimeout(timer)
  clearInterval(idle)
}

async function tlsServer(
  tls: { readonly cert: string; readonly key: string },
  limits: { readonly requestTimeout: number; readonly keepAliveTimeout: number },
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  const { createServer } = await import('node:https')
  try {
    return createServer({ ...limits, ...tls }, listener)
  } catch (error) {
    throw new CloudimgError('USAGE', `serving by TLS: certificate and key cannot be used: ${reasonOf(error)}`, {
      cause: error,
      hint: 'give both as PEM, the key without a passphrase',
    })
  }
}

async function listen(server: Server, host: string, port: number): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the port is in use' : reasonOf(error)
      const hint = error.code === 'EADDRINUSE' ? { hint: 'choose another one with --port' } : {}
      reject(new CloudimgError('NETWORK', `listening at ${host}:${port}: ${why}`, { cause: error, ...hint }))
    })
    server.listen(port, host, resolve)
  })
  return server.address() as AddressInfo
}

interface Running {
  readonly options: ServeOptions
  readonly uploads: Uploads
  readonly ctx: Context
  readonly ownHost: () => string
}

async function answer(request: IncomingMessage, response: ServerResponse, running: Running): Promise<void> {
  response.setHeader('docker-distribution-api-version', 'registry/2.0')
  try {
    await checkUser(request, running.options)
    const url = new URL(request.url ?? '/', 'http://registry.invalid')
    const exchange: Exchange = {
      request,
      response,
      url,
      store: running.options.store,
      host: hostOf(request, url, running),
      readOnly: running.options.readOnly ?? false,
      ctx: running.ctx,
    }
    await dispatch(exchange, running.uploads)
  } catch (error) {
    const refusal = refusalOf(error)
    if (isOurs(error, refusal) && !request.destroyed) running.ctx.events(complaint(request, refusal))
    sendRefusal(response, refusal, request.method === 'HEAD')
  }
}

/** What is wrong here, and not with what the client asked for. */
function isOurs(error: unknown, { status }: Refusal): boolean {
  return status >= 500 || isReadOnlyDisk(error)
}

function complaint({ method, url = '' }: IncomingMessage, { status, message }: Refusal): Event {
  // Behind the "?" may be what is nobody's business.
  return { kind: 'warning', code: 'serve-failed', message: `${method} ${url.split('?')[0]}: ${status}: ${message}` }
}

async function dispatch(exchange: Exchange, uploads: Uploads): Promise<void> {
  const route = parseRoute(exchange.url.pathname)
  switch (route.kind) {
    case 'base':
      if (exchange.request.method !== 'GET' && !isHead(exchange)) throw refuseMethod('GET, HEAD')
      return sendJson(exchange.response, 200, {}, {}, isHead(exchange))
    case 'catalog':
      return await answerCatalog(exchange)
    case 'blob':
      return await answerBlob(exchange, route.repository, route.digest)
    case 'start-upload':
      return await uploads.start(exchange, route.repository)
    case 'upload':
      return await uploads.continue(exchange, route.repository, route.session)
    case 'manifest':
      return await answerManifest(exchange, route.repository, route.name)
    case 'tags':
      return await answerTags(exchange, route.repository)
    case 'referrers':
      return await answerReferrers(exchange, route.repository, route.digest)
  }
}

async function checkUser(request: IncomingMessage, { users }: ServeOptions): Promise<void> {
  if (users === undefined || (await users.accept(request.headers.authorization ?? ''))) return
  throw new Refusal(401, 'UNAUTHORIZED', 'authentication required', { 'www-authenticate': 'Basic realm="cloudimg"' })
}

/**
 * The registry part of names in the store. Reads go by the host as the client used it, or by containerd's `?ns=` for a
 * mirror. Writes only by a host with our own port: else a client could set names of registries that are not this one.
 */
function hostOf(request: IncomingMessage, url: URL, { ownHost }: Running): string {
  const reads = request.method === 'GET' || request.method === 'HEAD'
  const named = (reads ? url.searchParams.get('ns') : null) ?? request.headers.host ?? ''
  const port = ownHost().slice(ownHost().lastIndexOf(':'))
  if (!reads && !named.endsWith(port)) return ownHost()
  try {
    return parseReference(`${named.toLowerCase()}/x`).registry
  } catch {
    return ownHost()
  }
}
