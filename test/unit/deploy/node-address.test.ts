import { describe, expect, it } from 'vitest'
import { nodeAddress } from '../../../src/deploy/node-address.ts'
import { parseHostAddress, thisMachine } from '../../../src/host/address.ts'
import { sampleFacts } from '../../support/sample-node.ts'

const two = sampleFacts(['address=eth0 10.0.0.1/24', 'address=eth1 192.168.7.1/24', 'address=cni0 10.42.0.1/24'])

describe('nodeAddress', () => {
  it.each([
    ['10.0.0.1', undefined, '10.0.0.1', 'eth0'],
    ['host.example', '192.168.7.1', '192.168.7.1', 'eth1'],
    ['10.0.0.1', '192.168.7.1', '192.168.7.1', 'eth1'],
  ])('named %s, asked for %s: %s on %s', (host, asked, address, name) =>
    expect(nodeAddress(parseHostAddress(host), two, asked)).toEqual({ address, interface: name }),
  )

  it('is where the connection arrived, for a name', () =>
    expect(nodeAddress(parseHostAddress('alias'), { ...two, arrivedAt: '192.168.7.1' }, undefined)).toEqual({
      address: '192.168.7.1',
      interface: 'eth1',
    }))

  it('is that of the default route, for this machine', () =>
    expect(nodeAddress(thisMachine, two, undefined)).toEqual({ address: '10.0.0.1', interface: 'eth0' }))

  it('is the only one there is, for this machine without a route', () => {
    const one = { ...sampleFacts(['address=eth5 10.9.9.9/24']), defaultRoutes: [] }
    expect(nodeAddress(thisMachine, one, undefined)).toEqual({ address: '10.9.9.9', interface: 'eth5' })
  })

  it.each([
    ['a name that tells nothing', parseHostAddress('alias'), two, undefined],
    ['an address that a NAT has', parseHostAddress('203.0.113.9'), two, undefined],
    ['an address that no interface has', parseHostAddress('10.0.0.1'), two, '10.0.0.77'],
    ['a bridge of k3s', parseHostAddress('10.0.0.1'), two, '10.42.0.1'],
    ['several addresses and no route', thisMachine, { ...two, defaultRoutes: [] }, undefined],
  ])('is refused for %s', (_, host, facts, asked) =>
    expect(() => nodeAddress(host, facts, asked)).toThrow(expect.objectContaining({ code: 'HOST_UNSUITABLE' })),
  )
})
