import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { digestOf } from '../../../src/core/digest.ts'
import {
  type CertificateCheck,
  checkCertificates,
  planRenewal,
  renewCertificates,
} from '../../../src/deploy/actions/certificates.ts'
import { importImages, planImport } from '../../../src/deploy/actions/import.ts'
import { runCluster } from '../../../src/deploy/actions/run.ts'
import type { ReachOptions, Wishes } from '../../../src/deploy/options.ts'
import { renewalOf } from '../../../src/runtime/k3s/renew.ts'
import { issue } from '../../support/k3s-standin/certificate.ts'
import { sampleClusterImage, sampleImages, type SampleOptions } from '../../support/sample-cluster-image.ts'
import { certificatePath, setCertificateDays } from '../../support/sim-care.ts'
import type { SimHost } from '../../support/sim-host.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4']
let world: SimWorld
let operator: SimOperator
beforeEach(async () => {
  world = new SimWorld(names, [...sampleImages])
  operator = await makeSimOperator(world)
})
afterEach(() => operator[Symbol.asyncDispose]())

async function cluster(options: SampleOptions = {}): Promise<string> {
  const hosts = { servers: names.slice(0, 3), agents: names.slice(3) }
  const result = await runCluster(
    { image: sampleClusterImage(options), hosts, ...reach() },
    testContext(),
    operator.ends,
  )
  for (const host of world.hosts.values()) host.changes.length = 0
  return result.cluster
}

function reach(wishes: Wishes = {}): ReachOptions & { readonly choice: object } {
  return { choice: {}, stateHome: operator.stateHome, limits: { timeoutSeconds: 0.05 }, wishes }
}

function host(name: string): SimHost {
  return world.hosts.get(name)!
}

/** Restarts and the like; what stays unsaid are files of the operation itself. */
function changed(): readonly (readonly [string, string])[] {
  return [...world.hosts.values()].flatMap(({ name, changes }) => changes.map(what => [name, what] as const))
}

const check = (days = 90): Promise<CertificateCheck> =>
  checkCertificates({ ...reach(), days }, testContext(), operator.ends)
const renew = (wishes?: Wishes) => renewCertificates(reach(wishes), testContext(), operator.ends)

describe('checkCertificates', () => {
  it('finds those of a new cluster good for a year, and changes nothing', async () => {
    await cluster()
    const { ok, nodes } = await check()
    expect(ok).toBe(true)
    expect(nodes.map(node => node.name)).toEqual(['node1', 'node2', 'node3', 'node4'])
    for (const { certificates } of nodes)
      expect(certificates).toEqual([{ path: certificatePath, days: 365, isAuthority: false }])
    expect(changed()).toEqual([])
  })

  it.each([
    [89, 90, false],
    [90, 90, true],
    [89, 30, true],
    [-3, 1, false],
  ])('%i days left, %i wanted', async (left, days, ok) => {
    await cluster()
    setCertificateDays(host('10.0.0.4'), left)
    const result = await check(days)
    expect(result.ok).toBe(ok)
    expect(result.nodes[3]?.certificates[0]?.days).toBe(left)
  })

  it('tells authorities from what they sign', async () => {
    await cluster()
    const { certificate } = issue({ commonName: 'k3s-server-ca', use: 'authority', days: 20.5 })
    host('10.0.0.1').certificates = `file /var/lib/rancher/k3s/server/tls/server-ca.crt\n${certificate}`
    const { ok, nodes } = await check()
    expect(ok).toBe(false)
    expect(nodes[0]?.certificates[0]).toMatchObject({ days: 20, isAuthority: true })
  })

  it('lists the machine that nobody reaches, and is not content', async () => {
    await cluster()
    host('10.0.0.4').isOff = true
    const { ok, nodes } = await check()
    expect(ok).toBe(false)
    expect(nodes[3]).toMatchObject({
      name: 'node4',
      certificates: [],
      unseen: expect.stringContaining('nobody answers') as string,
    })
  })
})

describe('renewCertificates', () => {
  it('does nothing where nothing ends', async () => {
    await cluster()
    expect(await renew()).toMatchObject({ changed: false })
    expect(changed()).toEqual([])
  })

  it('restarts those whose certificates end within the window, and fetches the kubeconfig', async () => {
    const id = await cluster()
    for (const name of ['10.0.0.2', '10.0.0.4']) setCertificateDays(host(name), 89)
    setCertificateDays(host('10.0.0.3'), 91)
    const kubeconfig = join(operator.stateHome, id, 'kubeconfig')
    await writeFile(kubeconfig, 'old')
    const plan = await planRenewal(reach(), testContext(), operator.ends)
    expect(plan.pending).toEqual(['renew/10.0.0.2', 'renew/10.0.0.4'])
    expect(plan.plan.pointOfNoReturn).toBe('renew/10.0.0.1')
    expect(await renew()).toMatchObject({ changed: true })
    expect(changed()).toEqual([
      ['10.0.0.2', 'restart'],
      ['10.0.0.4', 'restart'],
    ])
    expect(await readFile(kubeconfig, 'utf8')).toContain('server: https://10.0.0.1:6443')
    expect(await renew()).toMatchObject({ changed: false })
  })

  it('makes all of them anew where it is told to, servers first, and keeps what they are now', async () => {
    const id = await cluster()
    const order: string[] = []
    for (const machine of world.hosts.values())
      machine.change = what => void (what === 'rotate' && order.push(machine.name))
    const { op } = await renew({ rotate: true })
    expect(order).toEqual(names)
    const kept = join(operator.stateHome, id, 'snapshots', op!, 'certificates/node4.crt')
    expect(await readFile(kept, 'utf8')).toContain('BEGIN CERTIFICATE')
  })

  it('goes on from the operator’s own list where all have ended and no server answers', async () => {
    await cluster()
    for (const machine of world.hosts.values()) setCertificateDays(machine, -2)
    expect((await check()).ok).toBe(false)
    expect(await renew()).toMatchObject({ changed: true })
    expect((await check()).ok).toBe(true)
    expect(changed().map(([name]) => name)).toEqual(names)
  })

  it('stops at a server that does not come back', async () => {
    await cluster()
    for (const machine of world.hosts.values()) setCertificateDays(machine, 80)
    host('10.0.0.1').isBroken = true
    await expect(renew()).rejects.toMatchObject({ code: 'PHASE_FAILED' })
    expect(changed()).toEqual([['10.0.0.1', 'restart']])
  })

  it('refuses to rotate where k3s has no command for it, before anything is changed', async () => {
    await cluster({ metadata: { version: 'v1.21.2+k3s1' }, files: { 'bin/k3s': 'k3s v1.21.2+k3s1' } })
    for (const name of names) setCertificateDays(host(name), 80)
    await expect(renew({ rotate: true })).rejects.toMatchObject({
      code: 'HOST_UNSUITABLE',
      hint: expect.stringContaining('within 90 days') as string,
    })
    expect(changed()).toEqual([])
    expect(await renew()).toMatchObject({ changed: true })
  })
})

describe('renewalOf', () => {
  it.each([
    [undefined, 90, false],
    ['v1.21.2+k3s1', 90, false],
    ['v1.21.8+k3s1', 90, true],
    ['v1.31.8+k3s1', 90, true],
    ['v1.31.9+k3s1', 120, true],
    ['v1.33.0+k3s1', 90, true],
    ['v1.34.0+k3s1', 120, true],
  ])('%s', (version, windowDays, canRotate) => expect(renewalOf(version)).toEqual({ windowDays, canRotate }))
})

describe('importImages', () => {
  const missing = sampleImages[0]!
  const heal = () => importImages(reach(), testContext(), operator.ends)

  it('does nothing where nothing is missing', async () => {
    await cluster()
    expect(await heal()).toMatchObject({ changed: false })
    expect(changed()).toEqual([])
  })

  it('restarts k3s where some of its own are gone, there and nowhere else', async () => {
    await cluster()
    host('10.0.0.2').lost.add(missing)
    const { pending } = await planImport(reach(), testContext(), operator.ends)
    expect(pending).toEqual(['images/10.0.0.2'])
    expect(changed()).toEqual([])
    expect(await heal()).toMatchObject({ changed: true })
    expect(changed()).toEqual([['10.0.0.2', 'restart']])
    expect(await heal()).toMatchObject({ changed: false })
  })

  it('imports collected images from what lies on the node', async () => {
    const collected = 'registry.example/shop/web:2'
    world.images.push(collected)
    await cluster({
      metadata: { collected: [{ name: collected, digest: digestOf(''), size: 1, askedBy: [] }] },
      files: { 'images/oci/images.txt': `sha256:0 1 type ${collected} sha256:1\n` },
    })
    for (const name of ['10.0.0.3', '10.0.0.4']) host(name).lost.add(collected)
    expect(await heal()).toMatchObject({ changed: true })
    const { directory } = (await planImport(reach(), testContext(), operator.ends)).plan.phases.flatMap(({ steps }) =>
      steps.flatMap(step => step.do.flatMap(op => (op.op === 'installer' ? [{ directory: op.rootfs }] : []))),
    )[0]!
    expect(changed()).toEqual(['10.0.0.3', '10.0.0.4'].map(name => [name, `import ${directory}`]))
  })
})
