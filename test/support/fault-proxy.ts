import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as httpRequest,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, request as httpsRequest } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { buffer } from 'node:stream/consumers'
import type { Fault, RequestKind } from './fault-plan.ts'

export interface FaultProxy extends AsyncDisposable {
  /** `127.0.0.1:PORT`, as in a reference. */
  readonly host: string
  /** What the host to which it redirects was shown; nothing of ours may be among it. */
  readonly elsewhere: readonly { readonly url: string; readonly headers: IncomingHttpHeaders }[]
  /** The faults that hit a request, in order. */
  readonly hits: readonly string[]
}

export interface FaultProxyOptions {
  /** The registry's address. */
  readonly upstream: string
  /** The token server's, where the registry has one: it is reached through the proxy, too. */
  readonly realm?: string
  readonly tls?: { readonly cert: string; readonly key: string }
  /** The registry is told its own name instead of the proxy's: the embedded one names its images after it. */
  readonly ownName?: boolean
  readonly faults: readonly Fault[]
}

/** A registry that cannot be relied upon: a real one behind a proxy that breaks what the plan says, and passes the rest. */
export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const proxy = new RunningFaultProxy(options)
  await proxy.start()
  return proxy
}

/** A request that goes on to the registry. */
interface Way {
  readonly kind: RequestKind
  readonly target: URL
  readonly authorization: string | undefined
}

class RunningFaultProxy implements FaultProxy {
  readonly elsewhere: { readonly url: string; readonly headers: IncomingHttpHeaders }[] = []
  readonly hits: string[] = []
  readonly #options: FaultProxyOptions
  readonly #left: { readonly fault: Fault; after: number; times: number }[]
  readonly #servers: Server[] = []
  /** What the other host does for a redirect: it has rights of its own, as storage has by signed URLs. */
  readonly #errands: Way[] = []
  host = ''
  #other = ''

  constructor(options: FaultProxyOptions) {
    this.#options = options
    this.#left = options.faults.map(fault => ({ fault, after: fault.after, times: fault.times }))
  }

  async start(): Promise<void> {
    const { tls } = this.#options
    const main = this.#listener((request, response) => this.#serve(request, response))
    const other = this.#listener((request, response) => this.#serveElsewhere(request, response))
    this.host = await this.#listen(tls === undefined ? createServer(main) : createTlsServer(tls, main))
    this.#other = `http://${await this.#listen(createServer(other))}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections()
      await new Promise<void>(resolve => {
        server.close(() => resolve())
      })
    }
  }

  #listener(serve: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {
    return (request: IncomingMessage, response: ServerResponse): void => {
      request.on('error', () => undefined)
      response.on('error', () => undefined)
      serve(request, response).catch(() => void request.socket.destroy())
    }
  }

  async #listen(server: Server): Promise<string> {
    this.#servers.push(server)
    await new Promise<void>(resolve => {
      server.listen(0, '127.0.0.1', resolve)
    })
    return `127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    const kind = kindOf(request.method ?? '', path)
    const query = path.includes('?') ? path.slice(path.indexOf('?')) : ''
    const target = kind === 'token' ? new URL(`${this.#options.realm}${query}`) : new URL(path, this.#options.upstream)
    await this.#answer(request, response, { kind, target, authorization: request.headers.authorization })
  }

  async #serveElsewhere(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? ''
    this.elsewhere.push({ url, headers: request.headers })
    const { pathname, searchParams } = new URL(url, this.#other)
    const errand = this.#errands[Number(pathname.slice(1))]
    if (errand === undefined) {
      response.writeHead(404).end()
      return
    }
    const target = new URL(errand.target)
    const digest = searchParams.get('digest')
    if (digest !== null && !target.searchParams.has('digest')) {
      target.search += `${target.search === '' ? '?' : '&'}digest=${encodeURIComponent(digest)}`
    }
    await this.#answer(request, response, { ...errand, kind: 'elsewhere', target })
  }

  #faultFor(kind: RequestKind): Fault | undefined {
    for (const entry of this.#left) {
      if (entry.fault.on !== kind || entry.times <= 0) continue
      if (entry.after > 0) {
        entry.after--
        continue
      }
      entry.times--
      this.hits.push(`${kind} ${entry.fault.what}`)
      return entry.fault
    }
    return undefined
  }

  async #answer(request: IncomingMessage, response: ServerResponse, way: Way): Promise<void> {
    const fault = this.#faultFor(way.kind)
    switch (fault?.what) {
      case 'reset':
        reset(request.socket)
        return
      case 'refuse':
        refuse(request, response, fault)
        return
      case 'redirect':
        response.writeHead(307, { location: this.#sendElsewhere(way), 'content-length': 0 }).end()
        return
      default:
        await this.#forward(request, response, way, fault)
    }
  }

  #sendElsewhere(way: Way): string {
    return `${this.#other}/${this.#errands.push(way) - 1}?sig=x`
  }

  async #forward(
    request: IncomingMessage,
    response: ServerResponse,
    way: Way,
    fault: Fault | undefined,
  ): Promise<void> {
    const secret = fault?.what === 'expire' ? spoilt(way.authorization) : way.authorization
    const { ownName, upstream } = this.#options
    const told = ownName === true ? new URL(upstream).host : this.host
    const answer = await ask(request, told, { ...way, authorization: secret }, fault)
    const body = await buffer(answer)
    const headers = { ...answer.headers }
    delete headers['transfer-encoding']
    delete headers.connection
    const challenge = headers['www-authenticate']
    const { realm, tls } = this.#options
    const own = `${tls === undefined ? 'http' : 'https'}://${this.host}`
    if (challenge !== undefined && realm !== undefined)
      headers['www-authenticate'] = challenge.replace(realm, `${own}/token`)
    if (fault?.what === 'location-elsewhere' && headers.location !== undefined) {
      const target = new URL(new URL(headers.location, own).href.replace(own, this.#options.upstream))
      headers.location = this.#sendElsewhere({ ...way, target })
    }
    spoilAnswer({ request, response, status: answer.statusCode ?? 502, headers, body }, fault)
  }
}

/** A reset where that can be had: TLS knows only an end. */
function reset(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}

function kindOf(method: string, url: string): RequestKind {
  const path = url.split('?')[0]!
  if (path === '/v2/') return 'ping'
  if (path === '/token') return 'token'
  if (path.includes('/blobs/uploads/')) {
    if (method === 'POST') return 'upload-start'
    return method === 'PUT' || method === 'PATCH' ? 'upload-body' : 'upload-state'
  }
  if (path.includes('/blobs/')) return method === 'HEAD' ? 'blob-look' : 'blob-read'
  return method === 'PUT' ? 'manifest-write' : 'manifest-read'
}

// As a busy server does it: the body may be read, or the answer comes at once and the connection ends.
function refuse(request: IncomingMessage, response: ServerResponse, { status, at }: Fault): void {
  const wait: Record<string, string> = at < 0.3 ? { 'retry-after': at < 0.02 ? '1' : '0' } : {}
  const send = (): void => {
    response.writeHead(status, { 'content-type': 'text/html', ...wait }).end('<html>busy</html>')
  }
  if (at < 0.7) request.resume().on('end', send)
  else {
    response.shouldKeepAlive = false
    send()
  }
}

function spoilt(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : `${authorization.split(' ')[0]} ${'QQ'.repeat(20)}`
}

async function ask(
  request: IncomingMessage,
  host: string,
  { target, authorization }: Way,
  fault: Fault | undefined,
): Promise<IncomingMessage> {
  const { authorization: _shown, ...headers } = request.headers
  const options = {
    method: request.method,
    headers: {
      ...headers,
      host: target.pathname.startsWith('/v2/') ? host : target.host,
      ...(authorization === undefined ? {} : { authorization }),
    },
    rejectUnauthorized: false,
    agent: false,
  }
  return await new Promise((resolve, reject) => {
    const onward = (target.protocol === 'https:' ? httpsRequest : httpRequest)(target, options)
    onward.once('response', resolve).once('error', reject)
    request.once('close', () => {
      if (!request.complete) onward.destroy()
    })
    passBody(request, onward, fault)
  })
}

/** Passes a body on, up to where the fault strikes. */
function passBody(request: IncomingMessage, onward: NodeJS.WritableStream, fault: Fault | undefined): void {
  const length = Number(request.headers['content-length'] ?? 0)
  const place = Math.floor((fault?.at ?? 0) * length)
  let seen = 0
  request.on('data', (chunk: Buffer) => {
    const start = seen
    seen += chunk.length
    const strikes = fault !== undefined && start <= place && place < seen
    if (strikes && fault.what === 'flip-body') chunk[place - start]! ^= 0xff
    if (strikes && fault.what === 'cut-body') {
      onward.write(chunk.subarray(0, place - start), () => reset(request.socket))
      request.pause()
    } else if (strikes && fault.what === 'stall-body') request.pause()
    else if (!onward.write(chunk)) {
      request.pause()
      onward.once('drain', () => request.resume())
    }
  })
  request.once('end', () => onward.end())
}

interface Passing {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

function spoilAnswer(passing: Passing, fault: Fault | undefined): void {
  const { request, response, status, headers, body } = passing
  const { socket } = request
  const place = Math.floor((fault?.at ?? 0) * body.length)
  const start = (bytes: Buffer, more: IncomingHttpHeaders = {}, then?: () => void): void => {
    response.writeHead(status, { ...headers, ...more })
    response.write(bytes, then)
  }
  const whole = (bytes: Buffer, more: IncomingHttpHeaders = {}, code = status): void => {
    // Where the length is not told the connection's end or a last chunk tells it.
    response.writeHead(code, { ...headers, ...more })
    response.end(request.method === 'HEAD' ? undefined : bytes)
  }
  switch (fault?.what) {
    case 'lose-answer':
      reset(socket)
      return
    case 'stall-answer':
      if (body.length === 0 || fault.at < 0.3) return
      start(body.subarray(0, place))
      return
    case 'cut-answer':
      start(body.subarray(0, place), {}, () => reset(socket))
      return
    case 'truncate-answer':
      start(body.subarray(0, place), {}, () => socket.end())
      return
    case 'short-answer':
      delete headers['content-length']
      whole(body.subarray(0, place))
      return
    case 'long-answer':
      delete headers['content-length']
      whole(Buffer.concat([body, Buffer.alloc(1 + place, 'x')]))
      return
    case 'more-than-told':
      whole(body, { 'content-length': String(place) })
      return
    case 'less-than-told':
      start(body, { 'content-length': String(body.length + 1 + place) }, () => socket.end())
      return
    case 'flip-answer':
      if (body.length > 0) body[place]! ^= 0xff
      whole(body)
      return
    case 'other-digest':
      whole(body, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` })
      return
    case 'wrong-range':
      whole(body, { 'content-range': `bytes ${place + 1}-${place + body.length}/${place + body.length + 1}` }, 206)
      return
    case 'other-range':
      if (status === 206) body.reverse()
      whole(body)
      return
    case 'no-range':
      delete headers['content-range']
      whole(body, {}, status === 206 ? 200 : status)
      return
    default:
      whole(body)
  }
}
