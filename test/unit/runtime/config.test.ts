import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { apiUrl, findSecret, hideSecrets, renderConfig } from '../../../src/runtime/k3s/config.ts'
import { isReservedKey } from '../../../src/runtime/k3s/reserved-keys.ts'
import { matchesContent, printContent } from '../../../src/runtime/step.ts'
import { sampleCluster, sampleNode } from '../../support/sample-node.ts'

const server = sampleNode({ host: 'api.example:2222' })
const agent = sampleNode({}, 2)

function yamlOf(content: Parameters<typeof printContent>[0]): unknown {
  return parse(printContent(content))
}

describe('renderConfig', () => {
  it('gives a server its tokens, its addresses and every name it is reached by', () =>
    expect(yamlOf(renderConfig(server, { ...sampleCluster, tlsSans: ['vip.example'] }))).toEqual({
      token: '<token>',
      'agent-token': '<agent-token>',
      'advertise-address': '10.0.0.1',
      'tls-san': ['api.example', '10.0.0.1', 'vip.example'],
      'write-kubeconfig-mode': '0600',
      'node-name': 'node1',
      'node-ip': '10.0.0.1',
      'flannel-iface': 'eth0',
    }))

  it('gives an agent the token for agents, and no key that only servers know', () =>
    expect(yamlOf(renderConfig(agent, sampleCluster, server))).toEqual({
      server: 'https://10.0.0.1:6443',
      token: '<agent-token>',
      'node-name': 'node2',
      'node-ip': '10.0.0.2',
      'flannel-iface': 'eth0',
    }))

  it('passes further keys through, by role', () => {
    const config = {
      server: { disable: ['traefik'], 'cluster-cidr': '10.52.0.0/16' },
      agent: { 'kubelet-arg': ['max-pods=200'] },
    }
    const cluster = { ...sampleCluster, config }
    expect(yamlOf(renderConfig(server, cluster))).toMatchObject(config.server)
    expect(yamlOf(renderConfig(agent, cluster, server))).toMatchObject(config.agent)
  })

  it.each([
    'token',
    'token-file',
    'agent-token',
    'server',
    'cluster-init',
    'datastore-endpoint',
    'node-ip',
    'data-dir',
    'docker',
    'tls-san+',
  ])('refuses the reserved key %s', key => {
    expect(isReservedKey(key)).toBe(true)
    const cluster = { ...sampleCluster, config: { server: { [key]: 'x' }, agent: {} } }
    expect(() => renderConfig(server, cluster)).toThrow(`the key "${key}" is set by cloudimg itself`)
  })

  it('refuses a key that this version does not know', () => {
    const config = { server: { 'embedded-registry': true }, agent: {} }
    expect(() => renderConfig(server, { ...sampleCluster, config })).toThrow(
      'v1.31.4+k3s1 does not know the key "embedded-registry"',
    )
    expect(yamlOf(renderConfig(server, { ...sampleCluster, config, hasFeature: () => true }))).toMatchObject(
      config.server,
    )
  })
})

describe('tokens in a config', () => {
  const content = renderConfig(server, sampleCluster)
  const text = printContent(content).replace('<token>', 'aaa').replace('<agent-token>', 'bbb')

  it('are found again', () => {
    expect(findSecret(text, 'token')).toBe('aaa')
    expect(findSecret(text, 'agent-token')).toBe('bbb')
    expect(findSecret('node-name: "x"\n', 'token')).toBeUndefined()
  })

  it('are hidden where facts show it', () => {
    expect(hideSecrets(text)).not.toMatch(/aaa|bbb/)
    expect(hideSecrets(text)).toBe(hideSecrets(printContent(content)))
  })

  it('match a hole of any value, or of one', () => {
    expect(matchesContent(text, content, new Map())).toBe(true)
    expect(matchesContent(text, content, new Map([['token', 'aaa']]))).toBe(true)
    expect(matchesContent(text, content, new Map([['token', 'other']]))).toBe(false)
    expect(matchesContent(text.replace('eth0', 'eth1'), content, new Map())).toBe(false)
  })
})

it.each([
  ['10.0.0.1', 'https://10.0.0.1:6443'],
  ['fd00::1', 'https://[fd00::1]:6443'],
])('apiUrl of %s', (address, url) => expect(apiUrl(address)).toBe(url))
