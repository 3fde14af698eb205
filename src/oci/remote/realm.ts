import { BlockList, isIP } from 'node:net'
import { CloudimgError } from '../../core/error.ts'
import { redactUrl } from '../../core/redact.ts'
import { isLoopback } from '../../io/loopback.ts'
import type { Endpoint } from './endpoint.ts'

const linkLocal = new BlockList()
linkLocal.addSubnet('169.254.0.0', 16, 'ipv4')
linkLocal.addSubnet('fe80::', 10, 'ipv6')

const privateRanges = new BlockList()
for (const [net, prefix] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
  ['0.0.0.0', 8],
] as const)
  privateRanges.addSubnet(net, prefix, 'ipv4')
privateRanges.addSubnet('fc00::', 7, 'ipv6')
privateRanges.addAddress('::', 'ipv6')

/**
 * The token server that a registry names. A registry must not make us show credentials to, or probe, an address that only
 * we can reach: link-local ones never, loopback and private ones only where the registry itself is such a one.
 * @throws REGISTRY_ERROR saying what is wrong with the realm.
 */
export function checkRealm(realm: string, endpoint: Endpoint): URL {
  const refuse = (why: string): never => {
    throw new CloudimgError(
      'REGISTRY_ERROR',
      `asking for a token for "${endpoint.registry}": its token server "${redactUrl(realm)}" is refused: ${why}`,
    )
  }
  let url: URL
  try {
    url = new URL(realm)
  } catch {
    return refuse('not a URL')
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return refuse(`"${url.protocol}" is no web address`)
  if (url.protocol === 'http:' && !endpoint.insecure) return refuse('it is not https')
  if (url.username !== '' || url.password !== '') return refuse('it contains a user name')
  if (url.hostname === endpoint.base.hostname) return url
  if (isWithin(linkLocal, url.hostname)) return refuse('a link-local address')
  if (isLoopback(url.hostname) && !isLoopback(endpoint.base.hostname)) return refuse('an address of this machine')
  if (isWithin(privateRanges, url.hostname) && !isNear(endpoint)) return refuse('a private address')
  return url
}

function isNear(endpoint: Endpoint): boolean {
  return endpoint.insecure || isWithin(privateRanges, endpoint.base.hostname)
}

function isWithin(list: BlockList, hostname: string): boolean {
  const address = hostname.replace(/^\[|\]$/g, '')
  const version = isIP(address)
  return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6')
}
