import { isIPv6 } from 'node:net'
import { type HostAddress, parseHostAddress } from '../../host/address.ts'
import type { ClusterfileSsh } from './schema.ts'

/** A machine of the file, with the user and the port that it has for it. @throws USAGE */
export function addressOfHost(text: string, ssh: ClusterfileSsh): HostAddress {
  return parseHostAddress(hostText(text, ssh))
}

/** `[user@]host[:port]`, as the command line names machines. What stands in the address itself counts. @throws USAGE */
export function hostText(text: string, { user, port }: ClusterfileSsh): string {
  const own = parseHostAddress(text)
  const host = port !== undefined && own.port === undefined && isIPv6(own.host) ? `[${own.host}]` : own.name
  const at = own.user ?? user
  const to = own.port === undefined && port !== undefined ? `${host}:${port}` : own.name
  return at === undefined ? to : `${at}@${to}`
}
