import type { IncomingMessage } from 'node:http'
import type { Digest } from '../../core/digest.ts'

/** Whether the client has these bytes already: `If-None-Match` (RFC 9110 §13.1.2). Our ETag is the digest, quoted. */
export function isUnchanged(request: IncomingMessage, digest: Digest): boolean {
  const given = request.headers['if-none-match']
  if (given === undefined) return false
  return given.trim() === '*' || given.split(',').some(tag => tag.trim().replace(/^W\//, '') === `"${digest}"`)
}

/** Whether a range may be sent: `If-Range` (RFC 9110 §13.1.5) names these bytes, or is not there. */
export function isSameRange(request: IncomingMessage, digest: Digest): boolean {
  const given = request.headers['if-range']
  return given === undefined || given === `"${digest}"`
}

/**
 * Whether a client takes that media type. One that says nothing takes everything (RFC 9110 §12.5.1); quality is looked at
 * only to see a refusal.
 */
export function accepts(request: IncomingMessage, mediaType: string): boolean {
  const given = request.headers.accept
  if (given === undefined || given.trim() === '') return true
  return given.split(',').some(entry => {
    const [range = '', ...parameters] = entry.split(';').map(part => part.trim().toLowerCase())
    if (parameters.some(parameter => /^q=0(?:\.0*)?$/.test(parameter))) return false
    return range === '*/*' || range === mediaType || (range.endsWith('/*') && mediaType.startsWith(range.slice(0, -1)))
  })
}
