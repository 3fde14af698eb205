import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { deleteHosts } from '../../../src/deploy/actions/delete.ts'
import { execOnHosts } from '../../../src/deploy/actions/exec.ts'
import { bringKubeconfig } from '../../../src/deploy/actions/kubeconfig.ts'
import { runCluster } from '../../../src/deploy/actions/run.ts'
import { type ClusterStatus, clusterStatus } from '../../../src/deploy/actions/status.ts'
import { mergeKubeconfig } from '../../../src/deploy/merge-kubeconfig.ts'
import { troublesOf } from '../../../src/deploy/status/inspect-node.ts'
import { issue } from '../../support/k3s-standin/certificate.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { setCertificateDays } from '../../support/sim-care.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4']
let world: SimWorld
let operator: SimOperator
beforeEach(async () => {
  world = new SimWorld(names, [...sampleImages])
  operator = await makeSimOperator(world)
  const hosts = { servers: names.slice(0, 3), agents: names.slice(3) }
  await runCluster({ image: sampleClusterImage(), hosts, stateHome: operator.stateHome }, testContext(), operator.ends)
})
afterEach(() => operator[Symbol.asyncDispose]())

async function status(): Promise<ClusterStatus> {
  return await clusterStatus({ choice: {}, stateHome: operator.stateHome }, testContext(), operator.ends)
}

describe('clusterStatus', () => {
  it('finds everything as declared, and changes nothing', async () => {
    const before = world.changes().length
    expect(await status()).toMatchObject({ ok: true, voters: { healthy: 3, all: 3 }, troubles: [] })
    expect(world.changes()).toHaveLength(before)
  })

  it('waits for servers that are there but do not answer yet', async () => {
    const units = names.slice(0, 3).map(name => world.hosts.get(name)!.units.get('k3s')!)
    for (const unit of units) unit.active = false
    let pauses = 0
    const ends = {
      ...operator.ends,
      sleep: async () => {
        if (++pauses === 3) for (const unit of units) unit.active = true
      },
    }
    const choice = { server: names[1]! }
    expect(await clusterStatus({ choice, stateHome: operator.stateHome }, testContext(), ends)).toMatchObject({
      ok: true,
    })
    expect(pauses).toBe(3)
    for (const unit of units) unit.active = false
    await expect(
      clusterStatus({ choice, stateHome: operator.stateHome }, testContext(), operator.ends),
    ).rejects.toMatchObject({ code: 'COMMAND_FAILED' })
  })

  it.each([
    [
      'a node that is not Ready',
      () => void (world.hosts.get('10.0.0.4')!.units.get('k3s-agent')!.active = false),
      /node4.*not Ready/,
    ],
    ['a machine that nobody reaches', () => void (world.hosts.get('10.0.0.4')!.isOff = true), /node4.*nobody answers/],
    [
      'changed files',
      () => void (world.hosts.get('10.0.0.2')!.drift = ['/etc/rancher/k3s/config.yaml']),
      /node2.*changed by others/,
    ],
    ['images', () => void world.images.pop(), /node1.*1 images are missing/],
    ['another version', () => void (world.nodes.get('node3')!.version = 'v1.31.3+k3s1'), /node3.*runs v1.31.3/],
    [
      'all missing images',
      () => void world.hosts.get('10.0.0.3')!.lost.add(sampleImages[0]!),
      /node3.*1 images are missing/,
    ],
    ['certificates', () => setCertificateDays(world.hosts.get('10.0.0.4')!, 12), /node4.*ends in 12 days/],
    ['certificates that have ended', () => setCertificateDays(world.hosts.get('10.0.0.4')!, -2), /node4.*has ended/],
    [
      'a unit that is not enabled',
      () => void (world.hosts.get('10.0.0.4')!.units.get('k3s-agent')!.enabled = false),
      /node4.*k3s-agent does not start when the machine does/,
    ],
    [
      'foreign configuration',
      () => void (world.hosts.get('10.0.0.2')!.extraFacts = ['k3s-drop-in=90-mine.yaml: token']),
      /node2.*overrules what cloudimg sets: 90-mine.yaml: token/,
    ],
    ['a node that was forgotten', () => world.cluster!.delete('node4'), /node "node4".*is not in the cluster/],
  ])('tells of %s', async (_, spoil, wanted) => {
    spoil()
    const { ok, nodes, troubles } = await status()
    const told = [...troubles, ...nodes.flatMap(node => node.troubles.map(text => `${node.name}: ${text}`))]
    expect(ok).toBe(false)
    expect(told.join('\n')).toMatch(wanted)
  })

  it('counts the days of certificates', async () => {
    const { certificate } = issue({ commonName: 'node1', use: 'server', names: ['10.0.0.1'] })
    world.server().certificates = `file /var/lib/rancher/k3s/server/tls/a.crt\n${certificate}`
    const [first] = (await status()).nodes
    expect([364, 365]).toContain(first?.seen?.certificateDays)
  })

  it.each([
    [{ certificateDays: 29 }, 'a certificate ends in 29 days: cloudimg cert renew'],
    [{ freeBytes: 1 }, 'less than 1 GiB free below /var/lib/rancher'],
    [{ clockOffsetSeconds: -3 }, 'its clock is -3 s off'],
  ])('%j is a trouble', (more, trouble) => {
    const member = {
      name: 'a',
      role: 'agent',
      address: '',
      ready: true,
      version: 'v1',
      reason: '',
      voter: undefined,
    } as const
    const fine = {
      certificateDays: 300,
      freeBytes: 1e12,
      clockOffsetSeconds: 0,
      missingImages: [],
      drift: [],
      registry: undefined,
      servesImages: undefined,
      overruled: [],
      disabled: undefined,
    }
    expect(troublesOf(member, { ...fine, version: 'v1' })).toEqual([])
    expect(troublesOf(member, { ...fine, version: 'v1', ...more })).toEqual([trouble])
  })

  it('tells of a server that is no voter', () => {
    const server = { name: 'a', role: 'server', address: '', ready: true, version: 'v1', reason: '' } as const
    const seen = { certificateDays: 300, freeBytes: 1e12, clockOffsetSeconds: 0, missingImages: [], drift: [] }
    const more = { registry: undefined, servesImages: undefined, overruled: [], disabled: undefined }
    const fine = { ...seen, version: 'v1', ...more }
    expect(troublesOf({ ...server, voter: true }, fine)).toEqual([])
    expect(troublesOf({ ...server, voter: false }, fine)).toEqual(['is no etcd voter'])
  })

  it('leaves keys that are the user’s to set alone', async () => {
    world.server().extraFacts = ['k3s-drop-in=90-mine.yaml: kubelet-arg']
    expect(await status()).toMatchObject({ ok: true })
  })

  it('knows who was removed without being reached, and is back', async () => {
    const node = world.nodes.get('node4')!
    world.hosts.get('10.0.0.4')!.isOff = true
    const leaving = { choice: {}, hosts: ['node4'], forceUnreachable: ['node4'], stateHome: operator.stateHome }
    await deleteHosts(leaving, testContext(), operator.ends)
    expect(await status()).toMatchObject({ ok: true })
    world.hosts.get('10.0.0.4')!.isOff = false
    world.nodes.set('node4', node)
    expect((await status()).troubles).toEqual(['node "node4" was removed and is back: cloudimg delete node4'])
  })
})

describe('execOnHosts', () => {
  const options = (hosts: readonly string[]) => ({
    choice: {},
    hosts,
    argv: ['rm', '-f', '/tmp/x'],
    stateHome: operator.stateHome,
  })
  it.each([
    [['all'], 4],
    [['servers'], 3],
    [['agents', 'node4'], 1],
    [['node1', '10.0.0.2'], 2],
  ])('on %j', async (hosts, count) => {
    expect(await execOnHosts(options(hosts), testContext(), operator.ends)).toHaveLength(count)
  })

  it('refuses hosts of nobody', async () =>
    await expect(execOnHosts(options(['node9']), testContext(), operator.ends)).rejects.toMatchObject({
      code: 'USAGE',
    }))
})

describe('kubeconfig', () => {
  const server =
    'clusters:\n- cluster:\n    server: https://10.0.0.1:6443\n  name: default\nusers:\n- name: default\n  user:\n    token: t\n'
  it('comes for nobody else to read', async () => {
    const options = { choice: {}, endpoint: 'api.example', stateHome: operator.stateHome }
    const { path } = await bringKubeconfig(options, testContext(), operator.ends)
    expect(await readFile(path, 'utf8')).toContain('server: https://api.example:6443')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })

  it('is merged beside what is there, and once', async () => {
    const path = join(operator.stateHome, 'config')
    await writeFile(
      path,
      '# mine\napiVersion: v1\nkind: Config\ncurrent-context: work\ncontexts:\n- name: work\n  context: {cluster: w, user: w}\n',
    )
    await mergeKubeconfig(path, server, 'cloudimg-c-1')
    const once = await readFile(path, 'utf8')
    await mergeKubeconfig(path, server, 'cloudimg-c-1')
    expect(await readFile(path, 'utf8')).toBe(once)
    expect(once).toMatch(/^# mine\n/)
    const merged = parse(once) as { contexts: { name: string }[]; 'current-context': string }
    expect(merged['current-context']).toBe('work')
    expect(merged.contexts.map(context => context.name)).toEqual(['work', 'cloudimg-c-1'])
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })

  it('is the current context of an empty file, and never a damaged one', async () => {
    const path = join(operator.stateHome, 'new')
    await mergeKubeconfig(path, server, 'cloudimg-c-1')
    expect(await readFile(path, 'utf8')).toContain('current-context: cloudimg-c-1')
    await writeFile(path, 'contexts: 7\n')
    await expect(mergeKubeconfig(path, server, 'x')).rejects.toMatchObject({ code: 'FILE_ERROR' })
  })
})
