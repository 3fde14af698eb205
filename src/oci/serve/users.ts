import { createHash, timingSafeEqual } from 'node:crypto'
import { basicHeader } from '../remote/credential.ts'

/** Who may use a registry. */
export interface Users {
  /** The `Authorization` header as it came; empty where there was none. */
  accept(authorization: string): Promise<boolean>
}

/** People whose passwords are known in the clear. */
export function usersOf(people: readonly { readonly username: string; readonly password: string }[]): Users {
  const headers = people.map(({ username, password }) => basicHeader(username, password))
  return { accept: async shown => headers.some(header => sameText(shown, header)) }
}

// Hashes have one length: the comparison tells nothing about how much of the text was right.
function sameText(a: string, b: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(a), hash(b))
}

/** User name and password of `Basic …` (RFC 7617); undefined for anything else. */
export function parseBasic(
  authorization: string,
): { readonly username: string; readonly password: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization.trim())?.[1]
  const text = Buffer.from(encoded ?? '', 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) }
}
