import { CloudimgError } from '../core/error.ts'
import type { HostAddress } from '../host/address.ts'
import type { HostFacts } from '../host/facts.ts'

export interface NodeAddress {
  readonly address: string
  readonly interface: string
}

/**
 * The address that the machine has in the cluster: the one asked for, the one it was named by, or the one at which the
 * connection arrived, whichever an interface has. This machine's own is that of its default route, or its only one.
 * @throws HOST_UNSUITABLE where none of these is on an interface.
 */
export function nodeAddress(host: HostAddress, facts: HostFacts, asked: string | undefined): NodeAddress {
  if (asked !== undefined) {
    const found = onInterface(facts, asked)
    if (found !== undefined) return found
    throw unsuitable(host.name, `no interface has the address ${asked} that was asked for`, facts)
  }
  for (const candidate of [host.host, facts.arrivedAt]) {
    const found = candidate === undefined ? undefined : onInterface(facts, candidate)
    if (found !== undefined) return found
  }
  const own = host.local ? ownAddress(facts) : undefined
  if (own !== undefined) return own
  throw unsuitable(host.name, `which of its addresses the cluster shall use cannot be told`, facts)
}

function onInterface(facts: HostFacts, address: string): NodeAddress | undefined {
  const wanted = canonical(address)
  const found = physical(facts).find(entry => entry.addresses.some(has => canonical(has) === wanted))
  return found === undefined ? undefined : { address: wanted, interface: found.name }
}

/** What k3s and container engines make themselves is no address of the machine. */
function physical(facts: HostFacts): HostFacts['interfaces'] {
  return facts.interfaces.filter(
    ({ name }) => !/^(?:lo|cni|flannel|veth|docker|br-|virbr|kube-ipvs|cloudimg|nodelocaldns|cali|cilium)/.test(name),
  )
}

function ownAddress(facts: HostFacts): NodeAddress | undefined {
  const device = facts.defaultRoutes.map(route => / dev (\S+)/.exec(route)?.[1]).find(name => name !== undefined)
  const usable = physical(facts).filter(entry => entry.addresses.length > 0)
  const found = usable.find(entry => entry.name === device) ?? (usable.length === 1 ? usable[0] : undefined)
  const address = found?.addresses.find(candidate => candidate.includes('.')) ?? found?.addresses[0]
  return found === undefined || address === undefined ? undefined : { address, interface: found.name }
}

function canonical(address: string): string {
  return address.replace(/%.*$/, '').toLowerCase()
}

function unsuitable(host: string, why: string, facts: HostFacts): CloudimgError {
  const has = physical(facts).flatMap(entry => entry.addresses.map(address => `${address} on ${entry.name}`))
  return new CloudimgError('HOST_UNSUITABLE', `planning node "${host}": ${why}; it has ${has.join(', ') || 'none'}`, {
    hint: `name it with --node-ip ${host}=ADDRESS`,
    data: { host },
  })
}
