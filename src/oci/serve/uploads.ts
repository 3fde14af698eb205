import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { Refusal, sendEmpty } from './answer.ts'
import { type Exchange, refuseMethod, refuseWrites, wantDigest } from './exchange.ts'
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
  readonly stored: Promise<{ readonly digest: Digest; readonly size: number }>
}

const idleMs = 60 * 60 * 1000

/** The upload sessions of a running registry. */
export class Uploads {
  readonly #sessions = new Map<string, Session>()

  /** Ends all sessions; what they had taken is thrown away. */
  close(): void {
    for (const session of this.#sessions.values()) this.#forget(session)
  }

  /** POST: mount, upload at once (`?digest=`), or a new session. */
  async start(exchange: Exchange, repository: string): Promise<void> {
    const { request, response, url, store, ctx } = exchange
    refuseWrites(exchange)
    if (request.method !== 'POST') throw refuseMethod('POST')
    const mount = url.searchParams.get('mount')
    if (mount !== null && (await store.sizeOf(wantDigest(mount), ctx)) !== undefined) {
      request.resume()
      sendCreated(exchange, repository, wantDigest(mount))
      return
    }
    const digest = url.searchParams.get('digest')
    if (digest !== null) {
      const stored = await ingest(request, store, wantDigest(digest), ctx)
      sendCreated(exchange, repository, stored)
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
        await alone(session, () => patch(exchange, session))
        return
      case 'PUT':
        await alone(session, () => this.#finish(exchange, session))
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

  // A session without bytes so far goes into the store under the promised digest; one with bytes is closed and compared.
  async #finish(exchange: Exchange, session: Session): Promise<void> {
    const { request, store, ctx, url } = exchange
    const digest = wantDigest(url.searchParams.get('digest'))
    try {
      if (session.sink === undefined) await ingest(request, store, digest, ctx)
      else {
        checkContentRange(request, session)
        await append(request, session, session.sink)
        session.sink.stream.end()
        const stored = await session.sink.stored
        if (stored.digest !== digest)
          throw new Refusal(400, 'DIGEST_INVALID', `wanted ${digest}, the uploaded bytes are ${stored.digest}`)
      }
    } finally {
      this.#forget(session)
    }
    sendCreated(exchange, session.repository, digest)
  }
}

async function alone(session: Session, work: () => Promise<void>): Promise<void> {
  if (session.busy) throw new Refusal(409, 'BLOB_UPLOAD_INVALID', 'another request writes to this upload now')
  session.busy = true
  try {
    await work()
  } finally {
    session.busy = false
  }
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
  const stored = store.ingest(stream, {}, ctx)
  // Looked at when the upload is closed; until then a failure shows as a destroyed stream.
  stored.catch(() => stream.destroy())
  return { stream, stored }
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
  const start = /^(?:bytes )?(\d+)-/.exec(request.headers['content-range'] ?? '')?.[1]
  if (start === undefined || Number(start) === session.offset) return
  throw new Refusal(416, 'BLOB_UPLOAD_INVALID', `this upload goes on at byte ${session.offset}`, stateOf(session))
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

function sendCreated(exchange: Exchange, repository: string, digest: Digest): void {
  sendEmpty(exchange.response, 201, {
    location: `/v2/${repository}/blobs/${digest}`,
    'docker-content-digest': digest,
  })
}
