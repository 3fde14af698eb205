import { existsSync, readdirSync, rmSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { digestOf } from '../../../src/core/digest.ts'
import { planCluster, runCluster } from '../../../src/deploy/actions/run.ts'
import type { Ends } from '../../../src/deploy/ends.ts'
import { parseJournal } from '../../../src/deploy/journal.ts'
import type { RunOptions } from '../../../src/deploy/options.ts'
import { archive, sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { simPace } from '../../support/sim-clock.ts'
import { simRepository } from '../../support/sim-registry.ts'
import { SimWorld, tokenOf } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const config = '/etc/rancher/k3s/config.yaml'
const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
const image = sampleClusterImage()
let home: string
let world: SimWorld

beforeEach(async () => {
  // Journals are synced line by line; in memory that costs nothing.
  home = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'cloudimg-run-'))
  world = new SimWorld(names, sampleImages)
})
afterEach(() => rm(home, { recursive: true, force: true }))

function endsOf(world: SimWorld): Ends {
  let op = 0
  return {
    connect: address => Promise.resolve(world.hosts.get(address.name)!),
    openRepository: entry => simRepository(world, entry),
    ...simPace(world.clock),
    newOp: () => `op-${op++}-${readdirSync(home, { recursive: true }).length}`,
  }
}

function optionsOf(more: Partial<RunOptions> = {}): RunOptions {
  const [server, ...agents] = names
  return { image, hosts: { servers: [server!], agents }, stateHome: join(home, 'state'), ...more }
}

async function run(more: Partial<RunOptions> = {}, on = world): ReturnType<typeof runCluster> {
  return await runCluster(optionsOf(more), testContext(), endsOf(on))
}

function changesOf(world: SimWorld): readonly string[] {
  return [...world.hosts.values()].flatMap(host => host.changes)
}

async function journalText(): Promise<string> {
  const cluster = readdirSync(join(home, 'state'))[0]!
  const files = readdirSync(join(home, 'state', cluster)).filter(name => name.endsWith('.jsonl'))
  return (await Promise.all(files.map(name => readFile(join(home, 'state', cluster, name), 'utf8')))).join('')
}

describe('runCluster', () => {
  it('makes the hosts a cluster, and a second run changes nothing', async () => {
    const first = await run()
    expect(first).toMatchObject({ changed: true, version: 'v1.31.4+k3s1' })
    expect([...world.nodes.keys()].sort()).toEqual(['node1', 'node2', 'node3'])
    expect(first.hosts.map(host => [host.role, host.name, host.changed])).toEqual([
      ['server', 'node1', true],
      ['agent', 'node2', true],
      ['agent', 'node3', true],
    ])
    const before = changesOf(world).length
    const second = await run()
    expect(second).toMatchObject({ changed: false, op: undefined, kubeconfig: first.kubeconfig })
    expect(changesOf(world)).toHaveLength(before)
  })

  it('sends every byte once: large files by themselves, small ones together', async () => {
    await run()
    const rootfs = /\/var\/lib\/cloudimg\/rootfs\/[0-9a-f]{64}/g
    expect(world.server().changes.map(change => change.replaceAll(rootfs, 'ROOTFS'))).toEqual([
      'unpack ROOTFS',
      'upload ROOTFS/images/k3s-airgap-images-amd64.tar.zst',
      'write ROOTFS.sums',
      'stage ROOTFS',
      'install ROOTFS',
      'write /run/cloudimg-deploy/config.yaml',
      'init ROOTFS',
      'rm /run/cloudimg-deploy/config.yaml',
    ])
  })

  it('takes from another rootfs on the host what it has already', async () => {
    const host = world.server()
    const old = `/var/lib/cloudimg/rootfs/${'a'.repeat(64)}`
    host.write(`${old}/images/x.tar.zst`, archive, 0o644)
    host.write(`${old}.sums`, `${digestOf(archive).slice(7)}  images/x.tar.zst\n`)
    host.write(`${old}.staged`, host.text(`${old}.sums`)!)
    await run()
    expect(host.changes.filter(change => change.startsWith('upload'))).toEqual([])
    expect(host.changes.some(change => change.startsWith('copy'))).toBe(true)
  })

  it('sends a damaged file again', async () => {
    await run()
    const path = [...world.server().files.keys()].find(name => name.endsWith('/scripts/k3s-install.sh'))!
    world.server().write(path, 'damaged')
    expect(await run()).toMatchObject({ changed: true })
    expect(world.server().text(path)).toBe('#!/bin/sh\n# upstream\n')
  })

  it('gives every agent the token that the server has, and tells tokens to nobody', async () => {
    const ctx = testContext()
    await runCluster(optionsOf(), ctx, endsOf(world))
    const server = world.server().text(config)!
    const token = tokenOf(server, 'token')!
    const agentToken = tokenOf(server, 'agent-token')!
    expect(token).toMatch(/^[0-9a-f]{64}$/)
    expect(agentToken).not.toBe(token)
    expect(tokenOf(world.hosts.get('10.0.0.3')!.text(config)!, 'token')).toBe(agentToken)
    const told = JSON.stringify(ctx.seen) + (await journalText()) + changesOf(world).join()
    expect(told).not.toContain(token)
    expect(told).not.toContain(agentToken)
  })

  it('adds an agent to a cluster that runs, with the token read back', async () => {
    const [server, first] = names
    await run({ hosts: { servers: [server!], agents: [first!] } })
    const before = world.server().changes.length
    expect(await run()).toMatchObject({ changed: true })
    expect(world.server().changes).toHaveLength(before)
    expect(world.nodes.has('node3')).toBe(true)
  })

  it('brings the kubeconfig, for nobody else to read', async () => {
    const { kubeconfig } = await run()
    expect(await readFile(kubeconfig, 'utf8')).toContain('server: https://10.0.0.1:6443')
    expect((await stat(kubeconfig)).mode & 0o777).toBe(0o600)
  })

  it('gives the locks back', async () => {
    await run()
    for (const host of world.hosts.values()) expect(host.text('/var/lib/cloudimg/lock')).toBeUndefined()
  })

  it('begins a step again whose host lost its power in the middle', async () => {
    world.server().powerCutDuring = 'init'
    expect(await run()).toMatchObject({ changed: true })
    expect(world.server().changes.filter(change => change.startsWith('write /run'))).toHaveLength(2)
  })

  it('lets the installer finish where a boot started what it had not noted yet', async () => {
    await run()
    const [, agent] = [...world.hosts.values()]
    agent!.files.delete('/var/lib/cloudimg/applied')
    expect((await run()).hosts.map(host => host.changed)).toEqual([false, true, false])
    expect(agent!.files.has('/var/lib/cloudimg/applied')).toBe(true)
  })

  it('adds the default route that --fix asks for', async () => {
    world.server().defaultRoute = false
    const ctx = testContext()
    await runCluster(optionsOf(), ctx, endsOf(world))
    expect(ctx.seen.filter(event => event.kind === 'warning').map(event => event.code)).toEqual(['default-route'])
    expect(world.server().defaultRoute).toBe(false)
    expect(await run({ fixes: ['default-route'] })).toMatchObject({ changed: true })
    expect(world.server().defaultRoute).toBe(true)
  })
})

describe('runCluster refuses', () => {
  it.each([
    [
      'a host named twice',
      { hosts: { servers: ['10.0.0.1'], agents: ['root@10.0.0.1'] } },
      'USAGE',
      /named as server and as agent/,
    ],
    ['agents alone', { hosts: { servers: [], agents: ['10.0.0.1'] } }, 'USAGE', /no server/],
  ])('%s before it connects', async (_, more, code, message) => {
    const failing = run(more)
    await expect(failing).rejects.toMatchObject({ code })
    await expect(failing).rejects.toThrow(message)
    expect(world.calls).toBe(0)
  })

  it.each([
    ['a disk that runs no programs', 'noexec', { extra: ['disk=/var/lib/rancher 90000000 - rw,noexec'] }],
    ['another Kubernetes', 'other-kubernetes', { extra: ['service=k0scontroller'] }],
    ['a port in use', 'ports', { extra: ['tcp=00000000:192B'] }],
    ['a foreign k3s', 'foreign-k3s', { extra: ['k3s-data=yes'] }],
    ['a drop-in that sets what cloudimg sets', 'config-drop-in', { extra: ['k3s-drop-in=10.yaml: node-ip'] }],
  ])('%s, without a change', async (_, id, { extra }) => {
    world.server().extraFacts = extra
    await expect(run()).rejects.toMatchObject({ code: 'HOST_UNSUITABLE', data: { findings: id } })
    expect(changesOf(world)).toEqual([])
    expect(existsSync(join(home, 'state'))).toBe(false)
  })

  it('an image without the host platform, an image without installer, the stand-in', async () => {
    await expect(run({ image: { ...optionsOf().image, platforms: [] } })).rejects.toMatchObject({
      code: 'PLATFORM_MISSING',
    })
    await expect(
      run({ image: sampleClusterImage({ files: { 'scripts/cloudimg-node': undefined } }) }),
    ).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
    await expect(run({ image: sampleClusterImage({ metadata: { standIn: true } }) })).rejects.toMatchObject({
      data: { findings: 'stand-in' },
    })
    await expect(run({ image: sampleClusterImage({ metadata: { runtime: 'k0s' } }) })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    })
    expect(changesOf(world)).toEqual([])
  })

  it('another image on a cluster that runs, and another configuration', async () => {
    await run()
    const before = changesOf(world).length
    await expect(run({ image: sampleClusterImage({ files: { 'bin/k3s': 'newer' } }) })).rejects.toMatchObject({
      data: { findings: 'upgrade upgrade upgrade' },
    })
    await expect(run({ cluster: { tlsSans: ['api.example'] } })).rejects.toMatchObject({
      data: { findings: 'config-differs' },
    })
    expect(changesOf(world)).toHaveLength(before)
  })

  it('hosts on which somebody else is at work, and takes over from the dead', async () => {
    const lock = (age: number): void =>
      world.hosts
        .get('10.0.0.2')!
        .write('/var/lib/cloudimg/lock', `ann@desk other-op 4 ${Math.round(Date.now() / 1000) - age}`)
    lock(30)
    await expect(run()).rejects.toMatchObject({ code: 'CLUSTER_LOCKED', data: { owner: 'ann@desk', op: 'other-op' } })
    expect(changesOf(world)).toEqual([])
    lock(300)
    expect(await run()).toMatchObject({ changed: true })
  })
})

describe('a dry run', () => {
  it('changes nothing and says what is due, before and after', async () => {
    const before = await planCluster(optionsOf(), testContext(), endsOf(world))
    expect(before.pending).toEqual(before.plan.phases.flatMap(phase => phase.steps.map(step => step.id)))
    expect(before.plan.pointOfNoReturn).toBe('init/10.0.0.1')
    expect(changesOf(world)).toEqual([])
    await run()
    const after = await planCluster(optionsOf(), testContext(), endsOf(world))
    expect(after.pending).toEqual([])
  })

  it('prints the very steps that a run carries out', async () => {
    const { plan } = await planCluster(optionsOf(), testContext(), endsOf(world))
    await run()
    const done = parseJournal(await journalText()).filter(line => line.event === 'done')
    const planned = plan.phases.flatMap(phase => phase.steps.map(step => step.id))
    expect(new Set(done.map(line => line.step))).toEqual(new Set(planned))
    expect(done).toHaveLength(planned.length)
  })
})

describe('a run that is killed', () => {
  /** The claim names this very process, which is alive; a killed one would be dead. */
  function dropClaims(state: string): void {
    if (!existsSync(state)) return
    for (const cluster of readdirSync(state)) rmSync(join(state, cluster, 'running'), { force: true })
  }

  it('keeps its operation, and raises the epoch', async () => {
    world.killAt = { call: 60, side: 'before' }
    world.onKill = () => dropClaims(join(home, 'state'))
    const error = await run().then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(error).toMatchObject({ code: 'PHASE_FAILED', data: { changed: true } })
    world.revive()
    await run()
    const lines = parseJournal(await journalText())
    expect(new Set(lines.map(line => line.op)).size).toBe(1)
    expect(lines.flatMap(line => line.epoch ?? [])).toEqual([1, 2])
  })
})
