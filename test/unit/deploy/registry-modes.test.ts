import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { deleteHosts } from '../../../src/deploy/actions/delete.ts'
import { joinHosts } from '../../../src/deploy/actions/join.ts'
import { resetCluster } from '../../../src/deploy/actions/reset.ts'
import { planCluster, runCluster, type RunResult } from '../../../src/deploy/actions/run.ts'
import { clusterStatus } from '../../../src/deploy/actions/status.ts'
import { upgradeCluster } from '../../../src/deploy/actions/upgrade.ts'
import type { RegistryChoice, RunOptions } from '../../../src/deploy/options.ts'
import { stepsOf } from '../../../src/deploy/plan.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { sampleServedImage, servedNames } from '../../support/sample-served-image.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimRegistry } from '../../support/sim-registry.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5']
const servers = names.slice(0, 3)
const agents = names.slice(3, 4)
const image = sampleServedImage()
const registries = '/etc/rancher/k3s/registries.yaml'
const keys = '/etc/rancher/k3s/registry'
let world: SimWorld
let operator: SimOperator

beforeEach(async () => {
  world = new SimWorld(names, [...sampleImages, ...servedNames])
  operator = await makeSimOperator(world)
})
afterEach(() => operator[Symbol.asyncDispose]())

function optionsOf(registry: RegistryChoice | undefined, more: Partial<RunOptions> = {}): RunOptions {
  const cluster = registry === undefined ? {} : { cluster: { registry } }
  return { image, hosts: { servers, agents }, ...reach(), ...cluster, ...more }
}

function reach(): { stateHome: string; limits: { timeoutSeconds: number } } {
  return { stateHome: operator.stateHome, limits: { timeoutSeconds: 0.05 } }
}

async function run(registry: RegistryChoice | undefined, more: Partial<RunOptions> = {}): Promise<RunResult> {
  return await runCluster(optionsOf(registry, more), testContext(), operator.ends)
}

async function findings(
  registry: RegistryChoice | undefined,
  more: Partial<RunOptions> = {},
): Promise<readonly string[]> {
  const { plan } = await planCluster(optionsOf(registry, more), testContext(), operator.ends)
  return plan.findings.map(({ id }) => id)
}

function text(host: string, path: string): string {
  return world.hosts.get(host)!.text(path) ?? ''
}

function paths(host: string): readonly string[] {
  return [...world.hosts.get(host)!.files.keys()]
}

describe('a managed registry', () => {
  const managed = { mode: 'managed' } as const

  it('runs on each server before k3s, and agents are sent no image', async () => {
    const { plan } = await planCluster(optionsOf(managed), testContext(), operator.ends)
    const ids = stepsOf(plan).map(({ id }) => id)
    expect(ids.indexOf('registry/10.0.0.1')).toBeLessThan(ids.indexOf('init/10.0.0.1'))
    expect(ids).toContain('images/10.0.0.1')
    expect(ids).not.toContain('images/10.0.0.4')
    expect(await run(managed)).toMatchObject({ changed: true })
    for (const server of servers) expect(world.hosts.get(server)!.runs('cloudimg-registry')).toBe(true)
    expect(world.hosts.get('10.0.0.4')!.units.has('cloudimg-registry')).toBe(false)
    expect(paths('10.0.0.1').some(path => path.includes('/images/oci/'))).toBe(true)
    expect(paths('10.0.0.4').some(path => path.includes('/images/oci/'))).toBe(false)
    const endpoints = servers.map(server => `"https://${server}:5443/v2/registry.local_5000"`).join(',')
    expect(text('10.0.0.4', registries)).toContain(`  "registry.local:5000":\n    endpoint: [${endpoints}]\n`)
    expect(text('10.0.0.4', '/etc/rancher/k3s/config.yaml')).toContain('disable-default-registry-endpoint: true\n')
    const before = world.changes().length
    expect(await run(undefined)).toMatchObject({ changed: false })
    expect(world.changes()).toHaveLength(before)
  })

  it('lets nodes in by a credential of the cluster, which is nowhere but in files for it', async () => {
    await run(managed)
    const [seed] = new Set(servers.map(server => text(server, `${keys}/seed`)))
    expect(seed).toMatch(/^\d{4}-\d\d-\d\d [0-9a-f]{64}\n$/)
    expect(paths('10.0.0.4')).not.toContain(`${keys}/seed`)
    const client = new Set(names.slice(0, 4).map(name => text(name, `${keys}/client.key`)))
    expect(client.size).toBe(1)
    expect(new Set(servers.map(server => text(server, `${keys}/server.crt`))).size).toBe(3)
    for (const name of names.slice(0, 4))
      for (const [path, { mode }] of world.hosts.get(name)!.files)
        if (path.startsWith(keys)) expect([path, mode]).toEqual([path, 0o600])
    const secret = seed!.trim().slice(11)
    for (const file of await readdir(operator.stateHome, { recursive: true, withFileTypes: true }))
      if (file.isFile()) expect(await readFile(join(file.parentPath, file.name), 'utf8')).not.toContain(secret)
  })

  it('is remembered where nodes join, and forgotten where its server goes', async () => {
    await run(managed)
    const hosts = { servers: [], agents: ['10.0.0.5'] }
    const choice = { server: '10.0.0.2' }
    await joinHosts({ image, choice, hosts, ...reach() }, testContext(), operator.ends)
    for (const server of servers)
      expect(text('10.0.0.5', registries)).toContain(`"https://${server}:5443/v2/docker.io"`)
    expect(text('10.0.0.5', `${keys}/client.key`)).toBe(text('10.0.0.4', `${keys}/client.key`))
    await deleteHosts({ choice, hosts: ['10.0.0.1'], ...reach() }, testContext(), operator.ends)
    expect(world.hosts.get('10.0.0.1')!.units.has('cloudimg-registry')).toBe(false)
    for (const name of ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5']) {
      expect(text(name, registries)).not.toContain('10.0.0.1:5443')
      expect(text(name, registries)).toContain('https://10.0.0.2:5443/')
    }
    // Back again it is one more; nobody is restarted for it.
    expect(await run(undefined)).toMatchObject({ changed: true })
    expect(text('10.0.0.4', registries)).not.toContain('10.0.0.1:5443')
    expect(text('10.0.0.1', `${keys}/seed`)).toBe(text('10.0.0.2', `${keys}/seed`))
  })

  it('serves what an upgrade brings, and nodes ask for the new names', async () => {
    await run(managed)
    const metadata = { version: 'v1.31.5+k3s1' }
    const next = sampleServedImage({ files: { 'bin/k3s': 'k3s v1.31.5+k3s1' }, metadata }, [
      ...servedNames,
      'quay.io/new/thing:1',
    ])
    world.images.push('quay.io/new/thing:1')
    await upgradeCluster({ image: next, choice: {}, ...reach() }, testContext(), operator.ends)
    for (const name of names.slice(0, 4)) expect(text(name, registries)).toContain('"quay.io":')
    const again = { image: next, choice: {}, ...reach() }
    expect(await upgradeCluster({ ...again, registry: managed }, testContext(), operator.ends)).toMatchObject({
      changed: false,
    })
    const other = { mode: 'embedded' } as const
    await expect(upgradeCluster({ ...again, registry: other }, testContext(), operator.ends)).rejects.toMatchObject({
      code: 'HOST_UNSUITABLE',
      data: { findings: expect.stringContaining('registry-differs') as string },
    })
  })

  it('is seen by status when it does not run', async () => {
    await run(managed)
    const status = () => clusterStatus({ choice: {}, ...reach() }, testContext(), operator.ends)
    world.images.splice(0, world.images.length, ...sampleImages, ...servedNames)
    expect(await status()).toMatchObject({ ok: true, registry: { mode: 'managed' } })
    world.hosts.get('10.0.0.3')!.units.get('cloudimg-registry')!.active = false
    const { nodes } = await status()
    expect(nodes.flatMap(({ troubles }) => troubles)).toEqual([
      'its registry does not run: journalctl -u cloudimg-registry',
    ])
  })

  it('is gone after a reset', async () => {
    await run(managed)
    await resetCluster({ choice: {}, ...reach() }, testContext(), operator.ends)
    for (const name of names.slice(0, 4)) expect(paths(name).filter(path => !path.startsWith('/run/'))).toEqual([])
  })

  it('is refused without a program, without images, and against what the cluster has', async () => {
    const without = sampleServedImage({ files: { 'bin/registry': undefined } })
    expect(await findings(managed, { image: without })).toContain('registry-program')
    expect(await findings(managed, { image: sampleClusterImage() })).toContain('registry-program')
    await run({ mode: 'embedded' })
    expect(await findings(managed)).toContain('registry-differs')
    expect(await findings({ mode: 'none' })).toContain('registry-differs')
    expect(await findings(undefined)).toEqual([])
  })

  it('gives every node the images where one is asked for by the digest of its index', async () => {
    const index = `docker.io/library/web@sha256:${'0'.repeat(64)}`
    world.images.push(index)
    const odd = sampleServedImage({}, [...servedNames, index])
    await run(managed, { image: odd })
    expect(paths('10.0.0.4').some(path => path.includes('/images/oci/'))).toBe(true)
  })
})

describe('the embedded registry', () => {
  const embedded = { mode: 'embedded' } as const

  it('is switched on at servers, with every registry of the bundle, and joined by further nodes', async () => {
    await run(embedded)
    expect(text('10.0.0.2', '/etc/rancher/k3s/config.yaml')).toContain('embedded-registry: true\n')
    expect(text('10.0.0.4', '/etc/rancher/k3s/config.yaml')).not.toContain('embedded-registry: true\n')
    expect(text('10.0.0.4', registries)).toContain('mirrors:\n  "docker.io":\n  "registry.local:5000":\n')
    // Peers share what some node has: here that is every one.
    expect(paths('10.0.0.4').some(path => path.includes('/images/oci/'))).toBe(true)
    expect(await run(undefined)).toMatchObject({ changed: false })
    const hosts = { servers: [], agents: ['10.0.0.5'] }
    await joinHosts({ image, choice: {}, hosts, ...reach() }, testContext(), operator.ends)
    expect(text('10.0.0.5', registries)).toBe(text('10.0.0.4', registries))
  })

  it('is refused where k3s has none that is ready for use', async () => {
    const features = ['cluster-init-from-sqlite', 'embedded-registry']
    expect(await findings(embedded, { image: sampleServedImage({ metadata: { features } }) })).toEqual([
      'registry-version',
      'registry-fallback',
    ])
  })
})

describe('the registry of a URL', () => {
  const login = { username: 'nodes', password: 'it\'s "hidden"' }
  const url: RegistryChoice = { mode: 'url', url: 'https://hub.example/mirror', login, authority: 'PEM\n' }
  const push = { wishes: { registryPush: true } }

  beforeEach(() => {
    world.registry = new SimRegistry()
    world.registry.login = login
  })

  it('must have every image, or is given them where that is asked for', async () => {
    expect(await findings(url)).toEqual(['registry-images'])
    expect(world.registry!.contents()).toEqual([])
    expect(await run(url, push)).toMatchObject({ changed: true })
    expect(world.registry!.contents().map(line => line.split(' ')[0])).toEqual([
      'mirror/library/web:1',
      'mirror/team/api:2',
    ])
    expect(await findings(url)).toEqual([])
    expect(await run(undefined, push)).toMatchObject({ changed: false })
  })

  it('is what every node asks, and nobody is sent an image', async () => {
    await run(url, push)
    for (const name of names.slice(0, 4)) {
      expect(text(name, registries)).toContain('      username: "nodes"\n      password: "it\'s \\"hidden\\""\n')
      expect(text(name, `${keys}/ca.crt`)).toBe('PEM\n')
      expect(paths(name).some(path => path.includes('/images/oci/'))).toBe(false)
    }
    const hosts = { servers: [], agents: ['10.0.0.5'] }
    await joinHosts({ image, choice: {}, hosts, ...reach() }, testContext(), operator.ends)
    expect(text('10.0.0.5', registries)).toBe(text('10.0.0.4', registries))
    expect(text('10.0.0.5', `${keys}/ca.crt`)).toBe('PEM\n')
  })

  it('keeps its password out of plan, journal and state', async () => {
    const { plan } = await planCluster(optionsOf(url, push), testContext(), operator.ends)
    await run(url, push)
    expect(JSON.stringify(plan)).not.toContain("it's")
    for (const file of await readdir(operator.stateHome, { recursive: true, withFileTypes: true }))
      if (file.isFile()) expect(await readFile(join(file.parentPath, file.name), 'utf8')).not.toContain("it's")
  })

  it('is refused where it is silent, closed or not reached, and where its names are somebody else’s', async () => {
    expect(await findings({ mode: 'url', url: url.url! }, push)).toEqual(['registry-login'])
    world.hosts.get('10.0.0.4')!.cannotReachRegistry = true
    expect(await findings(url, push)).toEqual(['registry-reach'])
    world.hosts.get('10.0.0.4')!.cannotReachRegistry = false
    world.registry!.repository('mirror/library/web').names.set('1', {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: `sha256:${'1'.repeat(64)}`,
      size: 1,
    })
    expect(await findings(url, push)).toEqual(['registry-tag'])
    const alike = ['docker.io/library/web:1', 'quay.io/library/web:1']
    expect(await findings(url, { ...push, image: sampleServedImage({}, alike) })).toContain('registry-collision')
    world.registry = undefined
    expect(await findings(url, push)).toEqual(expect.arrayContaining(['registry-silent', 'registry-reach']))
  })
})

it.each([
  ['managed', '10.0.0.1', '1543'],
  ['embedded', '10.0.0.4', '1389'],
] as const)('the %s registry needs its port at %s', async (mode, host, port) => {
  world.hosts.get(host)!.extraFacts = [`tcp=00000000:${port}`]
  expect(await findings({ mode })).toEqual(['ports'])
  expect(await findings({ mode: 'none' })).toEqual([])
})

it('another mode than the URL has nothing to push to', async () => {
  expect(await findings({ mode: 'embedded' }, { wishes: { registryPush: true } })).toEqual(['registry-push'])
})
