import { X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { parseRegistry } from '../../../src/deploy/registry/choose-registry.ts'
import { Holes } from '../../../src/deploy/holes.ts'
import { renderConfig } from '../../../src/runtime/k3s/config.ts'
import {
  findPassword,
  hidePasswords,
  managedPrefix,
  readRegistries,
  renderRegistries,
} from '../../../src/runtime/k3s/registries.ts'
import { authority, certificate, findSeed, makeSeed, managedHoles } from '../../../src/runtime/k3s/registry-secrets.ts'
import { repositoryAt } from '../../../src/runtime/registry-url.ts'
import type { Cluster, Registry } from '../../../src/runtime/runtime.ts'
import { hole, printContent } from '../../../src/runtime/step.ts'
import { FakeHost } from '../../support/fake-host.ts'
import { sampleCluster, sampleFacts, sampleNode } from '../../support/sample-node.ts'
import { testContext } from '../../support/test-context.ts'

const server = sampleNode()
const agent = sampleNode({}, 3)

function clusterWith(registry: Registry, more: Partial<Cluster> = {}): Cluster {
  return {
    ...sampleCluster,
    registry,
    registryHosts: ['docker.io', 'hub.example:5000', 'registry.local:5000'],
    servers: ['10.0.0.1', '10.0.0.2'],
    ...more,
  }
}

const url: Registry = {
  mode: 'url',
  url: 'https://hub.example:5000/mirror',
  username: 'nodes',
  hasAuthority: true,
}

const golden: Readonly<Record<string, readonly [Registry, string]>> = {
  embedded: [
    { mode: 'embedded' },
    `# registry: embedded
mirrors:
  "docker.io":
  "hub.example:5000":
  "registry.local:5000":
`,
  ],
  managed: [
    { mode: 'managed' },
    `# registry: managed
mirrors:
  "docker.io":
    endpoint: ["https://10.0.0.1:5443/v2/docker.io","https://10.0.0.2:5443/v2/docker.io"]
  "hub.example:5000":
    endpoint: ["https://10.0.0.1:5443/v2/hub.example_5000","https://10.0.0.2:5443/v2/hub.example_5000"]
  "registry.local:5000":
    endpoint: ["https://10.0.0.1:5443/v2/registry.local_5000","https://10.0.0.2:5443/v2/registry.local_5000"]
configs:
  "10.0.0.1:5443":
    tls:
      ca_file: "/etc/rancher/k3s/registry/ca.crt"
      cert_file: "/etc/rancher/k3s/registry/client.crt"
      key_file: "/etc/rancher/k3s/registry/client.key"
  "10.0.0.2:5443":
    tls:
      ca_file: "/etc/rancher/k3s/registry/ca.crt"
      cert_file: "/etc/rancher/k3s/registry/client.crt"
      key_file: "/etc/rancher/k3s/registry/client.key"
`,
  ],
  'a URL with a path, a login and an authority': [
    url,
    `# registry: url https://hub.example:5000/mirror
mirrors:
  "docker.io":
    endpoint: ["https://hub.example:5000"]
    rewrite:
      "^(.*)$": "mirror/$1"
  "hub.example:5000":
    endpoint: ["https://hub.example:5000"]
  "registry.local:5000":
    endpoint: ["https://hub.example:5000"]
    rewrite:
      "^(.*)$": "mirror/$1"
configs:
  "hub.example:5000":
    auth:
      username: "nodes"
      password: "<registry-password>"
    tls:
      ca_file: "/etc/rancher/k3s/registry/ca.crt"
`,
  ],
  'a URL without TLS': [
    { mode: 'url', url: 'http://10.9.9.9:5000', hasAuthority: false },
    `# registry: url http://10.9.9.9:5000
mirrors:
  "docker.io":
    endpoint: ["http://10.9.9.9:5000"]
  "hub.example:5000":
    endpoint: ["http://10.9.9.9:5000"]
  "registry.local:5000":
    endpoint: ["http://10.9.9.9:5000"]
`,
  ],
}

describe('registries.yaml', () => {
  it.each(Object.entries(golden))('of %s', (_, [registry, text]) => {
    const [headline, ...rest] = printContent(renderRegistries(agent, clusterWith(registry))!).split(/(?<=\n)/)
    expect(headline).toMatch(/^# Written by cloudimg/)
    expect(rest.join('')).toBe(text)
    expect(parse(text)).toHaveProperty('mirrors')
  })

  it.each(Object.values(golden))('tells what it was made for: %j', registry => {
    const text = printContent(renderRegistries(agent, clusterWith(registry))!)
    expect(readRegistries(hidePasswords(text))).toEqual(registry)
  })

  it('is none where the cluster has no registry, and says nothing where others wrote it', () => {
    expect(renderRegistries(agent, clusterWith({ mode: 'none' }))).toBeUndefined()
    expect(readRegistries('# registry: managed\nmirrors: {}\n')).toBeUndefined()
    expect(readRegistries(undefined)).toBeUndefined()
  })

  it('names a server itself first, and the servers that a node was told while they are there', () => {
    const second = sampleNode({ role: 'server' }, 2)
    expect(printContent(renderRegistries(second, clusterWith({ mode: 'managed' }))!)).toContain(
      'endpoint: ["https://10.0.0.2:5443/v2/docker.io","https://10.0.0.1:5443/v2/docker.io"]',
    )
    const lines = printContent(renderRegistries(second, clusterWith({ mode: 'managed' }))!)
      .trimEnd()
      .split('\n')
    const facts = sampleFacts(
      lines.map(line => `k3s-registries=${line}`),
      3,
    )
    const told = { ...agent, facts }
    const later = clusterWith({ mode: 'managed' }, { servers: ['10.0.0.1', '10.0.0.2', '10.0.0.9'] })
    expect(printContent(renderRegistries(told, later)!)).toBe(facts.k3s.registries)
    const left = clusterWith({ mode: 'managed' }, { servers: ['10.0.0.1', '10.0.0.9'] })
    expect(printContent(renderRegistries(told, left)!)).toContain('endpoint: ["https://10.0.0.1:5443/v2/docker.io"]')
  })

  it('keeps a password with quotes as JSON has it, and hides it', () => {
    const content = renderRegistries(agent, clusterWith(url))!
    const escaped = JSON.stringify(`a"b\\c'd`).slice(1, -1)
    const text = content.map(part => (typeof part === 'string' ? part : escaped)).join('')
    expect(findPassword(text)).toBe(escaped)
    expect(findPassword(text.slice(1))).toBeUndefined()
    expect(parse(text)).toMatchObject({ configs: { 'hub.example:5000': { auth: { password: `a"b\\c'd` } } } })
    expect(hidePasswords(text)).not.toContain('b\\\\c')
  })
})

describe('the configuration of k3s with a registry', () => {
  const keysOf = (role: 'server' | 'agent', mode: 'embedded' | 'managed', features: readonly string[]) => {
    const cluster = clusterWith({ mode }, { hasFeature: name => features.includes(name) })
    const node = role === 'server' ? server : agent
    return Object.keys(parse(printContent(renderConfig(node, cluster, server))) as object).filter(key =>
      /registry/.test(key),
    )
  }
  const [fallback, embedded] = ['disable-default-registry-endpoint', 'embedded-registry']

  it.each([
    ['server', 'embedded', [fallback, embedded], [fallback, embedded]],
    ['agent', 'embedded', [fallback, embedded], [fallback]],
    ['server', 'managed', [fallback, embedded], [fallback]],
    ['server', 'managed', [], []],
    ['agent', 'embedded', [], []],
  ] as const)('%s, %s, of a version with %j', (role, mode, features, keys) => {
    expect(keysOf(role, mode, features)).toEqual(keys)
  })

  it('has no key more after an upgrade to a version that knows it', () => {
    const old = clusterWith({ mode: 'managed' })
    const lines = printContent(renderConfig(server, old)).trimEnd().split('\n')
    const facts = sampleFacts(['node={}', ...lines.map(line => `k3s-config=${line}`)])
    const later = { ...old, hasFeature: () => true }
    expect(renderConfig({ ...server, facts }, later)).toEqual(renderConfig(server, old))
    expect(renderConfig(server, later)).not.toEqual(renderConfig(server, old))
  })

  it('is the same text whether its keys are the cluster’s or were taken over from a server', () => {
    const cluster = clusterWith({ mode: 'embedded' }, { hasFeature: () => true })
    const config = { server: { [fallback]: true, [embedded]: true, disable: ['traefik'] }, agent: {} }
    const own = { ...cluster, config: { server: { disable: ['traefik'] }, agent: {} } }
    expect(renderConfig(server, { ...cluster, config })).toEqual(renderConfig(server, own))
  })
})

describe('what a managed registry shows and asks for', () => {
  const seed = `2026-11-26 ${'0f'.repeat(32)}`

  it('is made by one authority, for ten years, and the same each time', () => {
    const ca = new X509Certificate(authority(seed))
    expect(ca.ca).toBe(true)
    expect(ca.verify(ca.publicKey)).toBe(true)
    for (const [pem, name] of [
      [certificate(seed, 'server', '10.0.0.1'), 'IP Address:10.0.0.1'],
      [certificate(seed, 'server', 'fd00::1'), 'IP Address:FD00:0:0:0:0:0:0:1'],
      [certificate(seed, 'client'), undefined],
    ] as const) {
      const leaf = new X509Certificate(pem)
      expect(leaf.verify(ca.publicKey)).toBe(true)
      expect(leaf.ca).toBe(false)
      expect(leaf.subjectAltName).toBe(name)
      expect([leaf.validFrom, leaf.validTo]).toEqual(['Nov 25 00:00:00 2026 GMT', 'Nov 25 00:00:00 2036 GMT'])
    }
    expect(certificate(seed, 'client')).toBe(certificate(seed, 'client'))
    expect(certificate(seed, 'client')).not.toBe(certificate(makeSeed(), 'client'))
  })

  it('follows from the seed that a server has, else from a new one', async () => {
    const cluster = clusterWith({ mode: 'managed' })
    const asked = [hole('registry-ca'), hole('registry-key/10.0.0.2'), hole('registry-seed')]
    const host = new FakeHost('h', [{ on: /^read/, value: `${seed}\n` }])
    const kept = new Holes(managedHoles(server, cluster), new Map([[server.host, host]]))
    expect(await kept.value('registry-ca', testContext())).toBe(authority(seed))
    expect(await kept.value('registry-seed', testContext())).toBe(seed)
    const none = new FakeHost(
      'h',
      Array.from({ length: 5 }, () => ({ on: /^read/ })),
    )
    const fresh = new Holes(managedHoles(server, cluster), new Map([[server.host, none]]))
    expect(await fresh.known(asked, testContext())).toEqual(new Map())
    const ca = await fresh.value('registry-ca', testContext())
    expect(ca).toBe(authority(findSeed(await fresh.value('registry-seed', testContext()))!))
  })

  it.each(['', 'x', `2026-11-26 ${'0'.repeat(63)}`, `${seed} more`])('is not read from %j', text => {
    expect(findSeed(text)).toBeUndefined()
  })
})

describe('names at registries', () => {
  it.each([
    ['https://hub.example', 'docker.io', 'library/web', 'library/web'],
    ['https://hub.example/a/b', 'docker.io', 'library/web', 'a/b/library/web'],
    ['https://hub.example/a', 'hub.example', 'a/web', 'a/web'],
  ])('%s has %s/%s as %s', (at, registry, repository, name) =>
    expect(repositoryAt(at, registry, repository)).toBe(name),
  )

  it.each([
    ['docker.io', 'docker.io'],
    ['Registry.local:5000', 'registry.local_5000'],
  ])('%s stands as %s', (registry, prefix) => expect(managedPrefix(registry)).toBe(prefix))
})

describe('--registry', () => {
  it.each([
    ['none', { mode: 'none' }],
    ['managed', { mode: 'managed' }],
    ['https://hub.example/', { mode: 'url', url: 'https://hub.example' }],
    ['http://10.0.0.9:5000/a/b/', { mode: 'url', url: 'http://10.0.0.9:5000/a/b' }],
  ])('%s', (text, choice) => expect(parseRegistry(text)).toEqual(choice))

  it.each([
    ['manged', 'is no registry'],
    ['hub.example', 'is no registry'],
    ['ftp://hub.example', 'is no registry'],
    ['https://hub.example/UPPER', 'cannot begin the name'],
    ['https://hub.example/a?b=c', 'more than a path'],
  ])('refuses %s: %s', (text, why) => expect(() => parseRegistry(text)).toThrow(why))

  it('shows no credentials that stand in a URL', () => {
    expect(() => parseRegistry('https://user:hidden@hub.example')).toThrow(expect.objectContaining({ code: 'USAGE' }))
    for (const text of ['https://user:hidden@hub.example', 'ftp://user:hidden@hub.example'])
      expect(() => parseRegistry(text)).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining('hidden') as string }),
      )
  })
})
