import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { deleteHosts } from '../../../src/deploy/actions/delete.ts'
import { joinHosts } from '../../../src/deploy/actions/join.ts'
import { replaceHost } from '../../../src/deploy/actions/replace.ts'
import { resetCluster } from '../../../src/deploy/actions/reset.ts'
import { planRestore, restoreSnapshot } from '../../../src/deploy/actions/restore.ts'
import { runCluster } from '../../../src/deploy/actions/run.ts'
import {
  listSnapshots,
  planSnapshot,
  saveSnapshot,
  type SnapshotOptions,
  type SnapshotResult,
} from '../../../src/deploy/actions/snapshot.ts'
import { upgradeCluster } from '../../../src/deploy/actions/upgrade.ts'
import type { ActionResult } from '../../../src/deploy/act.ts'
import { digestOf, hexOf } from '../../../src/core/digest.ts'
import type { KeptSnapshot } from '../../../src/deploy/kept-snapshots.ts'
import type { RunOptions } from '../../../src/deploy/options.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld, tokenOf } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const config = '/etc/rancher/k3s/config.yaml'
const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5']
const servers = names.slice(0, 3)
const agents = names.slice(3, 4)
const alone = { servers: names.slice(0, 1), agents: [] }
const image = sampleClusterImage({
  files: { 'bin/k3s': 'k3s v1.31.4+k3s1' },
  metadata: { features: ['cluster-init-from-sqlite'] },
})
let world: SimWorld
let operator: SimOperator

beforeEach(async () => {
  world = new SimWorld(names, sampleImages)
  operator = await makeSimOperator(world)
})
afterEach(() => operator[Symbol.asyncDispose]())

function reach(): Pick<SnapshotOptions, 'choice' | 'stateHome' | 'limits'> {
  return { choice: {}, stateHome: operator.stateHome, limits: { timeoutSeconds: 0.05 } }
}

async function run(more: Partial<RunOptions> = {}): Promise<ActionResult> {
  return await runCluster({ image, hosts: { servers, agents }, ...reach(), ...more }, testContext(), operator.ends)
}

async function save(): Promise<SnapshotResult> {
  return await saveSnapshot(reach(), testContext(), operator.ends)
}

async function restore(snapshot: string): Promise<ActionResult> {
  return await restoreSnapshot({ ...reach(), snapshot }, testContext(), operator.ends)
}

async function kept(): Promise<readonly KeptSnapshot[]> {
  return (await listSnapshots(reach(), testContext(), operator.ends)).kept
}

async function warnings(work: (ctx: ReturnType<typeof testContext>) => Promise<unknown>): Promise<readonly string[]> {
  const ctx = testContext()
  await work(ctx)
  return ctx.seen.flatMap(event => (event.kind === 'warning' ? [event.code] : []))
}

function configOf(name: string): string {
  return world.hosts.get(name)!.text(config) ?? ''
}

function stop(...hosts: readonly string[]): void {
  for (const name of hosts) world.hosts.get(name)!.isOff = true
}

describe('snapshot save', () => {
  it.each([
    ['etcd', { servers, agents }, 'save-snapshot'],
    ['sqlite', alone, 'copy-datastore'],
  ])('brings %s here, for root only, and leaves nothing on the server', async (datastore, hosts, change) => {
    await run({ hosts })
    const before = world.state()
    const { snapshot, op } = await save()
    expect(snapshot).toMatchObject({ id: op, reason: 'on-demand', datastore, version: 'v1.31.4+k3s1', node: 'node1' })
    expect(world.server().changes.filter(text => /^\S+-(?:snapshot|datastore)$/.test(text))).toEqual([change])
    for (const file of ['datastore', 'token', 'about.json', 'datastore.sha256'])
      expect((await stat(join(snapshot.directory, file))).mode & 0o777, file).toBe(0o600)
    expect(await readFile(join(snapshot.directory, 'token'), 'utf8')).toContain(tokenOf(configOf('10.0.0.1'), 'token'))
    expect(world.state()).toEqual(before)
    await save()
    expect(await kept()).toHaveLength(2)
  })

  it('says before what stops', async () => {
    await run({ hosts: alone })
    const { plan } = await planSnapshot(reach(), testContext(), operator.ends)
    expect(plan.phases[0]!.steps[0]!.sentence).toContain('k3s stops and starts again')
  })

  it('lists what k3s keeps on the servers, where that is asked', async () => {
    await run()
    const { onServers } = await listSnapshots({ ...reach(), onServers: true }, testContext(), operator.ends)
    expect(onServers).toHaveLength(3)
    expect(onServers![0]).toEqual({
      node: 'node1',
      name: 'etcd-snapshot-node1-1700000000',
      size: 4096,
      takenAt: 1_700_000_000_000,
    })
  })
})

describe('snapshot restore', () => {
  it('takes everyone back to what was, those included who came later', async () => {
    await run()
    const { snapshot } = await save()
    world.cluster!.applied.push('later.yaml')
    const joining = { image, hosts: { servers: [], agents: ['10.0.0.5'] }, ...reach() }
    await joinHosts(joining, testContext(), operator.ends)
    const result = await restore(snapshot.id)
    expect(result.hosts.map(({ name, changed }) => [name, changed])).toEqual(
      ['node1', 'node2', 'node3', 'node4', 'node5'].map(name => [name, true]),
    )
    expect(world.cluster!.applied).toEqual([])
    expect([...world.cluster!.members]).toEqual(['node1', 'node2', 'node3'])
    expect([...world.nodes.keys()].sort()).toEqual(['node1', 'node2', 'node3', 'node4', 'node5'])
    expect(await run({ hosts: { servers, agents: [...agents, '10.0.0.5'] } })).toMatchObject({ changed: false })
    for (const host of world.hosts.values())
      expect([...host.files.keys()].filter(path => /db\.before|cloudimg\/restore|^\/run\/./.test(path))).toEqual([])
  })

  it('does it again where it is asked again', async () => {
    await run()
    const { snapshot } = await save()
    for (const time of [1, 2]) {
      world.cluster!.applied.push(`later-${time}.yaml`)
      expect(await restore(snapshot.id)).toMatchObject({ changed: true })
      expect(world.cluster!.applied).toEqual([])
    }
  })

  it('puts the file of SQLite back', async () => {
    await run({ hosts: alone })
    const { snapshot } = await save()
    world.cluster!.applied.push('later.yaml')
    await restore(snapshot.id)
    expect(world.cluster).toMatchObject({ datastore: 'sqlite', applied: [] })
    expect(configOf('10.0.0.1')).not.toContain('cluster-init')
  })

  it('works where no server answers any more, and where another one founded the cluster', async () => {
    await run()
    const { snapshot } = await save()
    await deleteHosts({ hosts: ['node1'], ...reach() }, testContext(), operator.ends)
    world.hosts.get('10.0.0.2')!.units.get('k3s')!.active = false
    world.hosts.get('10.0.0.3')!.units.get('k3s')!.active = false
    await restore(snapshot.id)
    expect([...world.cluster!.members]).toEqual(['node2', 'node3'])
    expect(configOf('10.0.0.2')).toContain('cluster-init: true\n')
    expect(configOf('10.0.0.3')).toContain('server: "https://10.0.0.2:6443"\n')
  })

  it('does without a machine that is gone, where that is said', async () => {
    await run()
    const { snapshot } = await save()
    stop('10.0.0.1')
    await expect(restore(snapshot.id)).rejects.toMatchObject({ code: 'HOST_UNREACHABLE' })
    const options = { ...reach(), snapshot: snapshot.id, forceUnreachable: ['node1'] }
    expect(await warnings(ctx => restoreSnapshot(options, ctx, operator.ends))).toContain('lost-servers')
    expect([...world.cluster!.members]).toEqual(['node2', 'node3'])
    expect(world.nodes.has('node1')).toBe(false)
    expect(configOf('10.0.0.4')).toContain('server: "https://10.0.0.2:6443"\n')
  })

  it('takes back a node that was imaged anew since', async () => {
    await run()
    const { snapshot } = await save()
    world.hosts.get('10.0.0.3')!.image()
    await replaceHost({ image, host: '10.0.0.3', ...reach() }, testContext(), operator.ends)
    expect(await restore(snapshot.id)).toMatchObject({ changed: true })
    expect(world.nodes.get('node3')).toBeDefined()
  })

  it('opens it with the token that it was sealed with, which comes in no argument and no plan', async () => {
    await run()
    const { snapshot } = await save()
    const secret = tokenOf(configOf('10.0.0.1'), 'token')!
    for (const name of servers) {
      const host = world.hosts.get(name)!
      host.write(config, configOf(name).replace(secret, 'another'))
    }
    world.cluster!.token = 'another'
    const ctx = testContext()
    const { plan } = await planRestore({ ...reach(), snapshot: snapshot.id }, ctx, operator.ends)
    await restoreSnapshot({ ...reach(), snapshot: snapshot.id }, ctx, operator.ends)
    for (const name of servers) expect(tokenOf(configOf(name), 'token')).toBe(secret)
    expect(JSON.stringify([plan, ctx.seen])).not.toContain(secret)
  })

  it('says how old it is', async () => {
    await run()
    const { snapshot } = await save()
    const options = { ...reach(), snapshot: snapshot.id }
    const { plan } = await planRestore(options, testContext(), operator.ends)
    expect(plan.findings).toMatchObject([{ id: 'writes-lost', severity: 'warning' }])
    expect(plan.findings[0]!.message).toContain('less than a minute old')
    expect(plan.pointOfNoReturn).toBe('revive/10.0.0.1')
  })

  it('refuses what was damaged, and what nobody has', async () => {
    await run()
    const { snapshot } = await save()
    const before = world.changes().length
    await expect(restore('20200101T000000Z-000000')).rejects.toMatchObject({ code: 'USAGE' })
    await writeFile(join(snapshot.directory, 'datastore'), 'not what was brought')
    await expect(restore(snapshot.id)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(world.changes()).toHaveLength(before)
  })

  it.each([
    ['other-cluster', { cluster: 'c-000000000000' }],
    ['newer-snapshot', { version: 'v1.32.0+k3s1' }],
    ['sqlite', { datastore: 'sqlite' }],
    ['no-way-back no-way-back no-way-back no-way-back', { version: 'v1.30.9+k3s1' }],
  ])('refuses: %s', async (findings, otherwise) => {
    await run()
    const { snapshot } = await save()
    const path = join(snapshot.directory, 'about.json')
    const about = JSON.stringify({ ...(JSON.parse(await readFile(path, 'utf8')) as object), ...otherwise })
    await writeFile(path, about)
    await writeFile(`${path}.sha256`, hexOf(digestOf(about)))
    const before = world.changes().length
    await expect(restore(snapshot.id)).rejects.toMatchObject({ data: { findings } })
    expect(world.changes()).toHaveLength(before)
  })
})

describe('a conversion', () => {
  it('takes a snapshot of SQLite first, which takes a single server back', async () => {
    await run({ hosts: alone })
    await run({ wishes: { convertDatastore: true } })
    const [before] = await kept()
    expect(before).toMatchObject({ reason: 'before-conversion', datastore: 'sqlite', node: 'node1' })
    expect(world.cluster!.datastore).toBe('etcd')
    await expect(restore(before!.id)).rejects.toMatchObject({ data: { findings: 'sqlite' } })
    await deleteHosts({ hosts: ['node2', 'node3', 'node4'], ...reach() }, testContext(), operator.ends)
    await restore(before!.id)
    expect(world.cluster).toMatchObject({ datastore: 'sqlite' })
    expect(await run({ hosts: alone })).toMatchObject({ changed: false })
  })
})

describe('a datastore outside', () => {
  const cluster = { datastoreEndpoint: 'postgres://k3s:geheim@db.example:5432/k3s' }

  it('carries two servers through join, upgrade, delete and reset', async () => {
    const pair = { servers: servers.slice(0, 2), agents }
    await run({ hosts: pair, cluster })
    expect([...world.cluster!.members]).toEqual(['node1', 'node2'])
    for (const name of pair.servers) {
      expect(tokenOf(configOf(name), 'datastore-endpoint')).toBe(cluster.datastoreEndpoint)
      expect(world.hosts.get(name)!.files.get(config)!.mode).toBe(0o600)
    }
    expect(tokenOf(configOf('10.0.0.1'), 'token')).toBe(tokenOf(configOf('10.0.0.2'), 'token'))
    expect(await run({ hosts: pair })).toMatchObject({ changed: false })
    const joining = { image, hosts: { servers: ['10.0.0.3'], agents: [] }, ...reach() }
    await joinHosts(joining, testContext(), operator.ends)
    expect(tokenOf(configOf('10.0.0.3'), 'datastore-endpoint')).toBe(cluster.datastoreEndpoint)
    const upgrading = { image: patch, ...reach() }
    expect(await warnings(ctx => upgradeCluster(upgrading, ctx, operator.ends))).toContain('external-datastore')
    expect(await kept()).toEqual([])
    await deleteHosts({ hosts: ['node1'], ...reach() }, testContext(), operator.ends)
    expect([...world.cluster!.members]).toEqual(['node2', 'node3'])
    expect(await warnings(ctx => resetCluster(reach(), ctx, operator.ends))).toContain('external-datastore')
    expect(world.nodes.size).toBe(0)
  })

  it('is its owner’s to back up', async () => {
    await run({ hosts: alone, cluster })
    await expect(save()).rejects.toMatchObject({ data: { findings: 'external-datastore' } })
  })
})

const patch = sampleClusterImage({
  files: { 'bin/k3s': 'k3s v1.31.5+k3s1' },
  metadata: { version: 'v1.31.5+k3s1' },
})
