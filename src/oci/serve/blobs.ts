import { pipeline } from 'node:stream/promises'
import type { Digest } from '../../core/digest.ts'
import { sendEmpty, Refusal } from './answer.ts'
import { isSameRange, isUnchanged } from './conditions.ts'
import { type Exchange, isHead, refuseMethod, refuseWrites, served, sizeHere, wantDigest } from './exchange.ts'

/** GET and HEAD on a blob, whole or one range of it; DELETE takes it out of the repository. */
export async function answerBlob(exchange: Exchange, repository: string, text: string): Promise<void> {
  const { method } = exchange.request
  if (method !== 'GET' && method !== 'HEAD' && method !== 'DELETE') throw refuseMethod('GET, HEAD, DELETE')
  if (method === 'DELETE') refuseWrites(exchange)
  const digest = wantDigest(text)
  const size = await sizeHere(exchange, repository, digest)
  if (size === undefined) throw new Refusal(404, 'BLOB_UNKNOWN', `no blob ${digest} in ${repository}`)
  if (method !== 'DELETE') return await sendBlob(exchange, digest, size)
  await exchange.store.setDeleted(served(exchange, repository), digest, true, exchange.ctx)
  sendEmpty(exchange.response, 202, {})
}

async function sendBlob(exchange: Exchange, digest: Digest, size: number): Promise<void> {
  const { request, response, store, ctx } = exchange
  const headers = {
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    'accept-ranges': 'bytes',
    etag: `"${digest}"`,
    'cache-control': 'max-age=31536000, immutable',
  }
  if (isUnchanged(request, digest)) {
    response.writeHead(304, headers).end()
    return
  }
  const range = isSameRange(request, digest) ? parseRange(request.headers.range, size) : undefined
  if (range === 'unsatisfiable') {
    sendEmpty(response, 416, { 'content-range': `bytes */${size}` })
    return
  }
  const length = range === undefined ? size : range.length
  const part: Record<string, string> =
    range === undefined ? {} : { 'content-range': `bytes ${range.offset}-${range.offset + range.length - 1}/${size}` }
  const status = range === undefined ? 200 : 206
  if (isHead(exchange)) {
    response.writeHead(status, { ...headers, ...part, 'content-length': length }).end()
    return
  }
  const body = await store.open(digest, size, ctx, range)
  response.writeHead(status, { ...headers, ...part, 'content-length': length })
  await pipeline(body, response, { signal: ctx.signal })
}

interface Range {
  readonly offset: number
  readonly length: number
}

/** One range (RFC 9110 §14); undefined for none, for several, and for a unit that we do not know: then all is sent. */
export function parseRange(header: string | undefined, size: number): Range | undefined | 'unsatisfiable' {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.replaceAll(' ', '') ?? '')
  if (match === null || (match[1] === '' && match[2] === '')) return undefined
  if (match[1] === '') {
    const length = Math.min(size, Number(match[2]))
    return length === 0 ? 'unsatisfiable' : { offset: size - length, length }
  }
  const offset = Number(match[1])
  const last = match[2] === '' ? size - 1 : Math.min(size - 1, Number(match[2]))
  if (match[2] !== '' && Number(match[2]) < offset) return undefined
  return offset >= size ? 'unsatisfiable' : { offset, length: last - offset + 1 }
}
