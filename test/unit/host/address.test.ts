import { describe, expect, it } from 'vitest'
import { parseHostAddress } from '../../../src/host/address.ts'

describe('parseHostAddress', () => {
  it.each([
    ['10.0.0.1', { name: '10.0.0.1', host: '10.0.0.1', local: false }],
    ['root@10.0.0.1:2222', { name: '10.0.0.1:2222', host: '10.0.0.1', user: 'root', port: 2222, local: false }],
    ['node-1.example', { name: 'node-1.example', host: 'node-1.example', local: false }],
    ['fd00::1', { name: 'fd00::1', host: 'fd00::1', local: false }],
    ['admin@[fd00::1]:22', { name: '[fd00::1]:22', host: 'fd00::1', user: 'admin', port: 22, local: false }],
    ['[fd00::1]', { name: 'fd00::1', host: 'fd00::1', local: false }],
    ['first.last@corp@host', { name: 'host', host: 'host', user: 'first.last@corp', local: false }],
  ])('%s', (text, address) => expect(parseHostAddress(text)).toEqual(address))

  it.each(['', '-oProxyCommand=x', 'root@', 'a b', 'host:0', 'host:70000', 'host:x', '$(id)', '-x@host', 'a,b'])(
    'refuses %j',
    text => expect(() => parseHostAddress(text)).toThrow(/reading host/),
  )
})
