import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { deleteHosts } from '../../../src/deploy/actions/delete.ts'
import { joinHosts } from '../../../src/deploy/actions/join.ts'
import { replaceHost } from '../../../src/deploy/actions/replace.ts'
import { resetCluster } from '../../../src/deploy/actions/reset.ts'
import { planCluster, runCluster, type RunResult } from '../../../src/deploy/actions/run.ts'
import { upgradeCluster } from '../../../src/deploy/actions/upgrade.ts'
import type { RunOptions } from '../../../src/deploy/options.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld, tokenOf } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const config = '/etc/rancher/k3s/config.yaml'
const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']
const servers = names.slice(0, 3)
const agents = names.slice(3, 5)
const image = sampleClusterImage({ metadata: { features: ['cluster-init-from-sqlite'] } })
let world: SimWorld
let operator: SimOperator

beforeEach(async () => {
  world = new SimWorld(names, sampleImages)
  operator = await makeSimOperator(world)
})
afterEach(() => operator[Symbol.asyncDispose]())

function reach(): { stateHome: string; limits: { timeoutSeconds: number } } {
  return { stateHome: operator.stateHome, limits: { timeoutSeconds: 0.05 } }
}

async function run(more: Partial<RunOptions> = {}): Promise<RunResult> {
  return await runCluster({ image, hosts: { servers, agents }, ...reach(), ...more }, testContext(), operator.ends)
}

function configOf(name: string): string {
  return world.hosts.get(name)!.text(config) ?? ''
}

describe('three servers and two agents', () => {
  it('become one cluster with embedded etcd, and a second run changes nothing', async () => {
    expect(await run()).toMatchObject({ changed: true })
    expect([...world.cluster!.members]).toEqual(['node1', 'node2', 'node3'])
    expect([...world.nodes.keys()]).toHaveLength(5)
    expect(configOf('10.0.0.1')).toContain('cluster-init: true\n')
    for (const name of ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5']) {
      expect(configOf(name)).toContain('server: "https://10.0.0.1:6443"\n')
      expect(configOf(name)).not.toContain('cluster-init')
    }
    const before = world.changes().length
    expect(await run()).toMatchObject({ changed: false })
    expect(world.changes()).toHaveLength(before)
  })

  it('have one token among servers, and another for agents', async () => {
    await run()
    const tokens = servers.map(name => tokenOf(configOf(name), 'token'))
    expect(new Set(tokens).size).toBe(1)
    expect(tokenOf(configOf('10.0.0.4'), 'token')).toBe(tokenOf(configOf('10.0.0.2'), 'agent-token'))
    expect(tokenOf(configOf('10.0.0.4'), 'token')).not.toBe(tokens[0])
  })

  it('are found whatever the order in which they are named', async () => {
    await run()
    expect(await run({ hosts: { servers: [...servers].reverse(), agents } })).toMatchObject({ changed: false })
  })

  it('join through a server that runs when the first one is down', async () => {
    await run({ hosts: { servers, agents: agents.slice(0, 1) } })
    world.hosts.get('10.0.0.1')!.isOff = true
    const hosts = { servers: servers.slice(1), agents }
    expect(await run({ hosts })).toMatchObject({ changed: true })
    expect(configOf('10.0.0.5')).toContain('server: "https://10.0.0.2:6443"\n')
  })

  it('are refused as two or four, unless that is wished', async () => {
    const two = { servers: servers.slice(0, 2), agents: [] }
    await expect(run({ hosts: two })).rejects.toMatchObject({ data: { findings: 'even-servers' } })
    expect(world.changes()).toEqual([])
    expect(await run({ hosts: two, wishes: { allowEven: true } })).toMatchObject({ changed: true })
  })

  it('name the endpoint in certificates and kubeconfig', async () => {
    const { kubeconfig } = await run({ cluster: { endpoint: 'api.example' } })
    expect(await readFile(kubeconfig, 'utf8')).toContain('server: https://api.example:6443')
    for (const name of servers) expect(configOf(name)).toMatch(/^tls-san: \[.*"api.example"\]$/m)
  })
})

describe('what the image brings for the cluster', () => {
  const bringing = sampleClusterImage({
    files: {
      'manifests/b.yaml': 'b: 1\n',
      'manifests/a.yaml': 'a: 1\n',
      'charts/app-1.tgz': 'chart',
    },
    metadata: {
      applications: [{ name: 'web', type: 'kube', files: ['web.yaml'], env: { A: 'b c' } }],
      launch: { applications: ['web'], commands: ['echo done > /tmp/x'] },
    },
  })

  it('is applied in order, served by every server, launched once', async () => {
    await run({ image: bringing })
    expect(world.server().changes.filter(change => /^(?:apply|launch)/.test(change))).toEqual([
      'apply a.yaml',
      'apply b.yaml',
      `launch (cd application/apps/web && env 'A=b c' kubectl apply --server-side '--field-manager=cloudimg' -f web.yaml) echo done > /tmp/x`,
    ])
    for (const name of servers)
      expect(world.hosts.get(name)!.text('/var/lib/rancher/k3s/server/static/charts/app-1.tgz')).toBe('chart')
    expect(await run({ image: bringing })).toMatchObject({ changed: false })
  })
})

describe('a second server for SQLite', () => {
  const one = { servers: servers.slice(0, 1), agents: [] }
  it('is refused', async () => {
    await run({ hosts: one })
    const before = world.changes().length
    await expect(run()).rejects.toMatchObject({ data: { findings: 'sqlite' } })
    expect(world.changes()).toHaveLength(before)
  })

  it('comes after the conversion that was asked for', async () => {
    await run({ hosts: one })
    expect(await run({ wishes: { convertDatastore: true } })).toMatchObject({ changed: true })
    expect(configOf('10.0.0.1')).toContain('cluster-init: true\n')
    expect([...world.cluster!.members]).toEqual(['node1', 'node2', 'node3'])
    expect(await run()).toMatchObject({ changed: false })
  })

  it('needs a k3s that can convert', async () => {
    const old = sampleClusterImage()
    await run({ image: old, hosts: one })
    await expect(run({ image: old, wishes: { convertDatastore: true } })).rejects.toMatchObject({
      data: { findings: 'sqlite' },
    })
  })
})

describe('a datastore outside', () => {
  const datastoreEndpoint = 'postgres://k3s:geheim@db.example:5432/k3s'
  it('is told to servers in their 0600 configuration, and to nobody else', async () => {
    const ctx = testContext()
    const options = { image, hosts: { servers, agents: [] }, ...reach(), cluster: { datastoreEndpoint } }
    const { plan } = await planCluster(options, ctx, operator.ends)
    expect(JSON.stringify(plan)).toContain('datastore-endpoint')
    expect(JSON.stringify([plan, ctx.seen])).not.toContain('geheim')
  })
})

describe('join', () => {
  it('adds an agent through any server', async () => {
    await run()
    const joined = { image, choice: { server: '10.0.0.2' }, hosts: { servers: [], agents: ['10.0.0.6'] }, ...reach() }
    const before = world.hosts.get('10.0.0.1')!.changes.length
    expect(await joinHosts(joined, testContext(), operator.ends)).toMatchObject({ changed: true })
    expect(world.nodes.has('node6')).toBe(true)
    expect(configOf('10.0.0.6')).toContain('server: "https://10.0.0.2:6443"\n')
    expect(world.hosts.get('10.0.0.1')!.changes).toHaveLength(before)
    expect(await joinHosts(joined, testContext(), operator.ends)).toMatchObject({ changed: false })
  })

  it('gives further servers what the servers have agreed on', async () => {
    const own = { config: { server: { 'cluster-cidr': '10.52.0.0/16', disable: ['traefik'] } } }
    await run({ hosts: { servers, agents: [] }, cluster: own })
    const hosts = { servers: ['10.0.0.4', '10.0.0.5'], agents: [] }
    await joinHosts({ image, choice: {}, hosts, ...reach() }, testContext(), operator.ends)
    expect(configOf('10.0.0.5')).toContain('cluster-cidr: "10.52.0.0/16"\ndisable: ["traefik"]\n')
    expect(world.cluster!.members.size).toBe(5)
  })

  it('refuses a machine of another cluster, and a cluster that nobody knows', async () => {
    const hosts = { servers: [], agents: ['10.0.0.4'] }
    await expect(
      joinHosts({ image, choice: {}, hosts, ...reach() }, testContext(), operator.ends),
    ).rejects.toMatchObject({
      code: 'USAGE',
    })
    await expect(
      joinHosts({ image, choice: { server: '10.0.0.1' }, hosts, ...reach() }, testContext(), operator.ends),
    ).rejects.toMatchObject({ code: 'HOST_UNSUITABLE' })
  })
})

async function remove(hosts: readonly string[], more: object = {}) {
  return await deleteHosts({ choice: {}, hosts, ...reach(), ...more }, testContext(), operator.ends)
}

describe('delete', () => {
  it('takes an agent away: drained, forgotten, uninstalled', async () => {
    await run()
    expect(await remove(['10.0.0.5'])).toMatchObject({ changed: true })
    expect(world.nodes.has('node5')).toBe(false)
    expect(world.hosts.get('10.0.0.5')!.text(config)).toBeUndefined()
    expect(world.server().changes.slice(-2)).toEqual(['drain node5', 'delete node node5'])
    const record = await readFile(
      join(operator.stateHome, (await run({ hosts: { servers, agents: agents.slice(0, 1) } })).cluster, 'cluster.json'),
      'utf8',
    )
    expect(record).not.toContain('10.0.0.5')
  })

  it('takes the first server away, by its node name, and points the others elsewhere', async () => {
    await run()
    expect(await remove(['node1'])).toMatchObject({ changed: true })
    expect([...world.cluster!.members]).toEqual(['node2', 'node3'])
    for (const name of ['10.0.0.3', ...agents]) expect(configOf(name)).toContain('server: "https://10.0.0.2:6443"\n')
    const hosts = { servers: servers.slice(1), agents }
    const before = world.changes().length
    expect(await run({ hosts })).toMatchObject({ changed: false })
    expect(world.changes()).toHaveLength(before)
    // and back again
    expect(await run()).toMatchObject({ changed: true })
    expect([...world.cluster!.members]).toEqual(['node2', 'node3', 'node1'])
    expect(await run()).toMatchObject({ changed: false })
  })

  it('does nothing for what is no member', async () => {
    await run({ hosts: { servers, agents: [] } })
    expect(await remove(['10.0.0.6'])).toMatchObject({ changed: false })
  })

  it('guards the majority', async () => {
    await run({ hosts: { servers, agents: [] } })
    await expect(remove(servers)).rejects.toMatchObject({ code: 'USAGE' })
  })

  it('forgets a machine that is gone only where that is said', async () => {
    await run()
    world.hosts.get('10.0.0.3')!.isOff = true
    await expect(remove(['10.0.0.3'])).rejects.toMatchObject({ code: 'HOST_UNREACHABLE' })
    expect(await remove(['10.0.0.3'], { forceUnreachable: ['10.0.0.3'] })).toMatchObject({ changed: true })
    expect([...world.cluster!.members]).toEqual(['node1', 'node2'])
    world.hosts.get('10.0.0.2')!.isOff = true
  })

  it('refuses what would leave a minority', async () => {
    await run()
    world.hosts.get('10.0.0.3')!.units.get('k3s')!.active = false
    await expect(remove(['10.0.0.2'])).rejects.toMatchObject({ data: { findings: 'quorum' } })
    expect(world.cluster!.members.size).toBe(3)
  })
})

describe('replace', () => {
  it('takes a re-imaged machine back under its name', async () => {
    await run()
    for (const name of ['10.0.0.2', '10.0.0.5']) {
      world.hosts.get(name)!.image()
      const options = { image, choice: { server: '10.0.0.1' }, host: name, ...reach() }
      expect(await replaceHost(options, testContext(), operator.ends)).toMatchObject({ changed: true })
      expect(await replaceHost(options, testContext(), operator.ends)).toMatchObject({ changed: false })
    }
    expect([...world.cluster!.members].sort()).toEqual(['node1', 'node2', 'node3'])
    expect(await run()).toMatchObject({ changed: false })
  })
})

const next = sampleClusterImage({
  files: { 'bin/k3s': 'k3s v1.31.5+k3s1' },
  metadata: { version: 'v1.31.5+k3s1' },
})

async function upgrade(to = next, more: object = {}) {
  return await upgradeCluster({ image: to, choice: {}, ...reach(), ...more }, testContext(), operator.ends)
}

function versions(): readonly string[] {
  return [...new Set([...world.nodes.values()].map(node => node.version))].sort()
}

describe('upgrade', () => {
  it('takes a snapshot home, then servers one by one, then agents', async () => {
    await run()
    const result = await upgrade()
    expect(result).toMatchObject({ changed: true, version: 'v1.31.5+k3s1' })
    expect(versions()).toEqual(['v1.31.5+k3s1'])
    const snapshots = join(operator.stateHome, result.cluster, 'snapshots', result.op!, 'before-upgrade')
    expect(await readFile(join(snapshots, 'datastore'), 'utf8')).toContain('node1')
    expect(await readFile(join(snapshots, 'token'), 'utf8')).toContain(
      `::server:${tokenOf(configOf('10.0.0.1'), 'token')}`,
    )
    expect(await upgrade()).toMatchObject({ changed: false })
    expect(await run({ image: next })).toMatchObject({ changed: false })
  })

  it('takes back the node in hand, and stops', async () => {
    await run()
    world.hosts.get('10.0.0.2')!.isBroken = true
    await expect(upgrade()).rejects.toMatchObject({ code: 'PHASE_FAILED', data: { takenBack: true, host: '10.0.0.2' } })
    expect([...world.nodes.values()].map(node => [node.name, node.version])).toEqual([
      ['node1', 'v1.31.5+k3s1'],
      ['node2', 'v1.31.4+k3s1'],
      ['node3', 'v1.31.4+k3s1'],
      ['node4', 'v1.31.4+k3s1'],
      ['node5', 'v1.31.4+k3s1'],
    ])
    expect(await upgrade()).toMatchObject({ changed: true })
    expect(versions()).toEqual(['v1.31.5+k3s1'])
  })

  it('takes nothing back over a minor version', async () => {
    await run()
    world.hosts.get('10.0.0.1')!.isBroken = true
    const minor = sampleClusterImage({
      files: { 'bin/k3s': 'k3s v1.32.0+k3s1' },
      metadata: { version: 'v1.32.0+k3s1' },
    })
    await expect(upgrade(minor)).rejects.toMatchObject({ code: 'PHASE_FAILED' })
    expect(world.changes().some(change => change.startsWith('rollback'))).toBe(false)
  })

  it.each([
    ['v1.33.0+k3s1', 'skew skew skew skew skew'],
    ['v1.31.3+k3s1', 'downgrade downgrade downgrade downgrade downgrade'],
  ])('refuses %s', async (version, findings) => {
    await run()
    await expect(upgrade(sampleClusterImage({ metadata: { version } }))).rejects.toMatchObject({ data: { findings } })
  })

  it('drains where that is wished', async () => {
    await run()
    await upgrade(next, { wishes: { drain: true, maxUnavailable: 2 } })
    expect(world.changes().filter(change => change.startsWith('drain'))).toHaveLength(5)
    expect([...world.nodes.values()].some(node => node.cordoned)).toBe(false)
    expect(await upgrade(next, { wishes: { drain: true, maxUnavailable: 2 } })).toMatchObject({ changed: false })
  })
})

describe('volumes that will be lost', () => {
  it('are told before a node leaves, and before all go', async () => {
    await run()
    world.hosts.get('10.0.0.5')!.extraFacts = ['k3s-volume=pvc-1_default_data']
    const ctx = testContext()
    const leaving = { choice: {}, hosts: ['10.0.0.5'], ...reach() }
    await deleteHosts(leaving, ctx, operator.ends)
    const codes = ctx.seen.flatMap(event => (event.kind === 'warning' ? [event.code] : []))
    expect(codes).toEqual(['volumes'])
  })
})

describe('reset', () => {
  it('leaves every machine as it was', async () => {
    const before = world.state()
    await run()
    const result = await resetCluster({ choice: {}, ...reach() }, testContext(), operator.ends)
    expect(result).toMatchObject({ changed: true, kubeconfig: undefined })
    expect(world.state()).toEqual(before)
    await expect(resetCluster({ choice: {}, ...reach() }, testContext(), operator.ends)).rejects.toMatchObject({
      code: 'USAGE',
    })
  })
})
