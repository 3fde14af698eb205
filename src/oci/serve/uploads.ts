import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { Refusal, sendEmpty } from './answer.ts'
import { bringBack, type Exchange, refuseMethod, refuseWrites, wantDigest } from './exchange.ts'
import { checkRepository } from './route.ts'
import type { ServeStore } from './serve-store.ts'

interface Session {
  readonly id: string
  readonly repository: string
  /** Bytes taken so far. */
  offset: number
  /** Where PATCHed bytes go: one stream into the store for all of them, so that nothing is written twice. */
  sink: Sink | undefined
  /** One request at a time writes. */
  busy: boolean
  timer: NodeJS.Timeout
}

interface Sink {
  readonly stream: PassThrough
  /** What the store holds the bytes against at their end: the digest is told by the request that closes the upload. */
  readonly expected: { digest?: Digest }
  readonly stored: Promise<{ readonly digest: Digest; readonly size: number }>
}

const idleMs = 60 * 60 * 1000

/** The upload sessions of a running registry. */
export class Uploads {
  readonly #sessions = new Map<string, Session>()

  /** Ends all sessions; what they had taken is thrown away. */
  async close(): Promise<void> {
    const sinks = [...this.#sessions.values()].flatMap(({ sink }) => (sink === undefined ? [] : [sink.stored]))
    for (const session of this.#sessions.values()) this.#forget(session)
    await Promise.allSettled(sinks)
  }

  /** POST: mount, upload at once (`?digest=`), or a new session. */
  async start(exchange: Exchange, repository: string): Promise<void> {
    const { request, response, url, store, ctx } = exchange
    if (request.method !== 'POST') throw refuseMethod('POST')
    refuseWrites(exchange)
    const mount = url.searchParams.get('mount')
    if (mount !== null && (await canMount(exchange, wantDigest(mount)))) {
      request.resume()
      await sendCreated(exchange, repository, wantDigest(mount))
      return
    }
    const digest = url.searchParams.get('digest')
    if (digest !== null) {
      const stored = await ingest(request, store, wantDigest(digest), ctx)
      await sendCreated(exchange, repository, stored)
      return
    }
    request.resume()
    const session = this.#open(repository)
    sendEmpty(response, 202, stateOf(session))
  }

  /** PATCH, PUT, GET and DELETE on a session. */
  async continue(exchange: Exchange, repository: string, id: string): Promise<void> {
    refuseWrites(exchange)
    const session = this.#sessions.get(id)
    if (session === undefined || session.repository !== repository)
      throw new Refusal(404, 'BLOB_UPLOAD_UNKNOWN', 'no such upload')
    session.timer.refresh()
    switch (exchange.request.method) {
      case 'GET':
        sendEmpty(exchange.response, 204, stateOf(session))
        return
      case 'DELETE':
        this.#forget(session)
        exchange.response.writeHead(204).end()
        return
      case 'PATCH':
        await this.#alone(session, () => patch(exchange, session))
        return
      case 'PUT':
        await this.#alone(session, () => this.#finish(exchange, session))
        return
      default:
        throw refuseMethod('GET, PATCH, PUT, DELETE')
    }
  }

  #open(repository: string): Session {
    const id = randomUUID()
    const timer = setTimeout(() => this.#forget(session), idleMs).unref()
    const session: Session = { id, repository, offset: 0, sink: undefined, busy: false, timer }
    this.#sessions.set(id, session)
    return session
  }

  #forget(session: Session): void {
    clearTimeout(session.timer)
    this.#sessions.delete(session.id)
    session.sink?.stream.destroy()
  }

  async #alone(session: Session, work: () => Promise<void>): Promise<void> {
    if (session.busy) throw new Refusal(409, 'BLOB_UPLOAD_INVALID', 'another request writes to this upload now')
    session.busy = true
    try {
      await work()
    } finally {
      session.busy = false
      // Nothing more can be written to it: the disk is full, or it is complete.
      if (session.sink?.stream.destroyed === true) this.#forget(session)
    }
  }

  // A client that is cut off here may ask how far it came, as after a PATCH; once all bytes are there the session is over.
  async #finish(exchange: Exchange, session: Session): Promise<void> {
    const { request, store, ctx, url } = exchange
    const digest = wantDigest(url.searchParams.get('digest'))
    checkContentRange(request, session)
    const sink = (session.sink ??= openSink(store, ctx))
    await append(request, session, sink)
    sink.expected.digest = digest
    sink.stream.end()
    try {
      await sink.stored
    } finally {
      this.#forget(session)
    }
    await sendCreated(exchange, session.repository, digest)
  }
}

/** Without `from` any repository will do; from one it was deleted from nothing is mounted. @throws Refusal NAME_INVALID. */
async function canMount(exchange: Exchange, digest: Digest): Promise<boolean> {
  const { store, ctx, host, url } = exchange
  const from = url.searchParams.get('from')
  if (from !== null) checkRepository(from)
  if (from !== null && (await store.isDeleted({ host, repository: from }, digest, ctx))) return false
  return (await store.sizeOf(digest, ctx)) !== undefined
}

async function patch(exchange: Exchange, session: Session): Promise<void> {
  const { request, response, store, ctx } = exchange
  checkContentRange(request, session)
  session.sink ??= openSink(store, ctx)
  await append(request, session, session.sink)
  sendEmpty(response, 202, stateOf(session))
}

function openSink(store: ServeStore, ctx: Context): Sink {
  const stream = new PassThrough({ highWaterMark: MiB })
  const expected = {}
  const stored = store.ingest(stream, expected, ctx)
  // Looked at when the upload is closed; until then a failure shows as a destroyed stream.
  stored.catch(() => stream.destroy())
  return { stream, expected, stored }
}

// Bytes that came before a connection broke stay: the client asks how many there are and goes on from there.
async function append(request: IncomingMessage, session: Session, sink: Sink): Promise<void> {
  for await (const chunk of request as AsyncIterable<Buffer>) {
    if (sink.stream.destroyed) await sink.stored
    session.offset += chunk.length
    session.timer.refresh()
    if (!sink.stream.write(chunk)) await drained(sink.stream)
  }
}

async function drained(stream: PassThrough): Promise<void> {
  await new Promise<void>(resolve => {
    const done = (): void => {
      stream.off('drain', done).off('close', done)
      resolve()
    }
    stream.on('drain', done).on('close', done)
    if (stream.destroyed || !stream.writableNeedDrain) done()
  })
}

function checkContentRange(request: IncomingMessage, session: Session): void {
  const header = request.headers['content-range']
  if (header === undefined) return
  const [, start, end] = /^(?:bytes )?(\d+)-(\d+)(?:\/.*)?$/.exec(header.trim()) ?? []
  if (start === undefined || Number(end) < Number(start))
    throw new Refusal(416, 'BLOB_UPLOAD_INVALID', `"${header}" is no Content-Range`, stateOf(session))
  if (Number(start) !== session.offset)
    throw new Refusal(416, 'BLOB_UPLOAD_INVALID', `this upload goes on at byte ${session.offset}`, stateOf(session))
  const length = request.headers['content-length']
  if (length !== undefined && Number(length) !== Number(end) - Number(start) + 1)
    throw new Refusal(400, 'SIZE_INVALID', `Content-Length is ${length}, Content-Range says ${header}`)
}

async function ingest(request: IncomingMessage, store: ServeStore, digest: Digest, ctx: Context): Promise<Digest> {
  const length = Number(request.headers['content-length'] ?? Number.NaN)
  const expected = { digest, ...(Number.isSafeInteger(length) ? { size: length } : {}) }
  return (await store.ingest(request, expected, ctx)).digest
}

function stateOf(session: Session): Record<string, string> {
  return {
    location: `/v2/${session.repository}/blobs/uploads/${session.id}`,
    range: `0-${Math.max(0, session.offset - 1)}`,
    'docker-upload-uuid': session.id,
  }
}

async function sendCreated(exchange: Exchange, repository: string, digest: Digest): Promise<void> {
  await bringBack(exchange, repository, digest)
  sendEmpty(exchange.response, 201, {
    location: `/v2/${repository}/blobs/${digest}`,
    'docker-content-digest': digest,
  })
}
