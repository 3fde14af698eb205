import { isIPv6 } from 'node:net'
import { CloudimgError } from '../core/error.ts'

/** Where a host is reached: by ssh, or `local`, this machine itself. */
export interface HostAddress {
  /** As plans, events and errors name it: what was written, without the user. */
  readonly name: string
  readonly host: string
  readonly user?: string
  readonly port?: number
  readonly local: boolean
}

export const thisMachine: HostAddress = { name: 'localhost', host: 'localhost', local: true }

const hostPattern = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/
const userPattern = /^[A-Za-z0-9_][A-Za-z0-9_.@\\$-]*$/

/** `[user@]host[:port]`, `[user@][v6]:port`, a bare IPv6 address, or an alias of the user's ssh config. @throws USAGE */
export function parseHostAddress(text: string): HostAddress {
  const fail = (why: string): never => {
    throw new CloudimgError('USAGE', `reading host "${text}": ${why}`, {
      hint: 'write HOST, USER@HOST, HOST:PORT or [IPV6]:PORT',
    })
  }
  const trimmed = text.trim()
  const at = trimmed.lastIndexOf('@')
  const user = at < 0 ? undefined : trimmed.slice(0, at)
  if (user !== undefined && !userPattern.test(user)) fail(`"${user}" is no user name`)
  const { host, port } = splitPort(trimmed.slice(at + 1))
  if (host === '') fail('no host')
  if (!isIPv6(host) && !hostPattern.test(host)) fail(`"${host}" is neither a name nor an address`)
  if (port !== undefined && !(/^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= 65535))
    fail(`"${port}" is no port`)
  return {
    name: port === undefined ? host : `${isIPv6(host) ? `[${host}]` : host}:${port}`,
    host,
    local: false,
    ...(user === undefined ? {} : { user }),
    ...(port === undefined ? {} : { port: Number(port) }),
  }
}

/** The inverse of `parseHostAddress`. */
export function formatHostAddress({ name, user }: HostAddress): string {
  return user === undefined ? name : `${user}@${name}`
}

function splitPort(text: string): { readonly host: string; readonly port?: string } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text)
  if (bracketed !== null)
    return { host: bracketed[1] ?? '', ...(bracketed[2] === undefined ? {} : { port: bracketed[2] }) }
  if (isIPv6(text)) return { host: text }
  const colon = text.indexOf(':')
  return colon < 0 ? { host: text } : { host: text.slice(0, colon), port: text.slice(colon + 1) }
}
