import { createHash } from 'node:crypto'

export interface Token {
  readonly password: string
  /** sha256 of the authority's PEM, hex; only the long form has one. */
  readonly caHash?: string
  readonly user?: string
}

/** `K10<sha256>::<user>:<password>`, or the password alone. (facts/k3s.md §7.2) */
export function parseToken(text: string): Token {
  const long = /^K10([0-9a-f]{64})::(?:([^:]*):)?(.+)$/s.exec(text)
  if (long === null) return { password: text }
  const [, caHash = '', user, password = ''] = long
  return { password, caHash, ...(user === undefined ? {} : { user }) }
}

export function formatToken(user: 'server' | 'node', password: string, caPem: string): string {
  return `K10${caHashOf(caPem)}::${user}:${password}`
}

export function caHashOf(caPem: string): string {
  return createHash('sha256').update(caPem).digest('hex')
}
