import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { Fatal } from './log.ts'
import type { Options } from './options.ts'

export interface NodeAddress {
  readonly nodeIp: string
  readonly flannelInterface: string
}

/**
 * The node's address, from the options or the default route.
 * Without a default route k3s lives only if told everything. (facts/k3s-observed.md 9, facts/k3s.md §9.4)
 */
export function nodeAddress(options: Options, role: 'server' | 'agent'): NodeAddress {
  const defaultInterface = interfaceOfDefaultRoute()
  const given = options.all('node-ip')[0]
  if (defaultInterface === undefined && role === 'server' && !options.has('advertise-address') && given === undefined)
    throw new Fatal(
      `apiserver exited: Unable to find suitable network address.error='no default routes found in "/proc/net/route" or "/proc/net/ipv6_route"'. Try to set the AdvertiseAddress directly or provide a valid BindAddress to fix this.`,
    )
  const nodeIp = given ?? (defaultInterface === undefined ? undefined : addressOf(defaultInterface))
  if (nodeIp === undefined) throw new Fatal('unable to select an IP from default routes.')
  const wanted = options.one('flannel-iface')
  if (wanted !== undefined && !(wanted in networkInterfaces()))
    throw new Fatal(`unable to find interface ${wanted}: route ip+net: no such network interface`)
  const flannelInterface = wanted ?? defaultInterface
  if (flannelInterface === undefined)
    throw new Fatal('flannel exited: failed to get default interface: unable to find default route')
  return { nodeIp, flannelInterface }
}

/** From /proc/net/route and ipv6_route; a route that is rejected (unreachable, blackhole) has no interface and does not count here. */
function interfaceOfDefaultRoute(): string | undefined {
  const rows = readFileSync('/proc/net/route', 'utf8').split('\n').slice(1)
  const up = 1
  const found = rows
    .map(row => row.split('\t'))
    .find(([, destination, , flags, , , , mask]) => {
      const isUp = (Number.parseInt(flags ?? '0', 16) & up) !== 0
      return destination === '00000000' && mask === '00000000' && isUp
    })
  return found?.[0] === '*' ? undefined : found?.[0]
}

function addressOf(name: string): string | undefined {
  return networkInterfaces()[name]?.find(({ family }) => family === 'IPv4')?.address
}
