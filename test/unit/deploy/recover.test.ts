import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { planRecover, recoverCluster, type RecoverOptions } from '../../../src/deploy/actions/recover.ts'
import { runCluster } from '../../../src/deploy/actions/run.ts'
import type { SnapshotOptions } from '../../../src/deploy/actions/snapshot.ts'
import type { ActionResult } from '../../../src/deploy/act.ts'
import type { RunOptions } from '../../../src/deploy/options.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5']
const servers = names.slice(0, 3)
const agents = names.slice(3, 4)
const image = sampleClusterImage({ files: { 'bin/k3s': 'k3s v1.31.4+k3s1' } })
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

function configOf(name: string): string {
  return world.hosts.get(name)!.text('/etc/rancher/k3s/config.yaml') ?? ''
}

function stop(...hosts: readonly string[]): void {
  for (const name of hosts) world.hosts.get(name)!.isOff = true
}

describe('recover', () => {
  const recover = async (more: Partial<RecoverOptions> = {}): Promise<ActionResult> =>
    await recoverCluster({ server: '10.0.0.2', ...reach(), ...more }, testContext(), operator.ends)

  it('goes on with one server, and the others come back by run', async () => {
    await run()
    stop('10.0.0.1', '10.0.0.3')
    await expect(recover()).rejects.toMatchObject({ code: 'HOST_UNREACHABLE' })
    const ctx = testContext()
    const options = { server: '10.0.0.2', forceUnreachable: ['10.0.0.1', 'node3'], ...reach() }
    const { plan } = await planRecover(options, ctx, operator.ends)
    expect(plan.findings.map(({ id, severity }) => [id, severity])).toEqual([
      ['lost-servers', 'warning'],
      ['writes-lost', 'warning'],
    ])
    expect(await recover(options)).toMatchObject({ changed: true })
    expect([...world.cluster!.members]).toEqual(['node2'])
    expect([...world.nodes.keys()].sort()).toEqual(['node2', 'node4'])
    expect(configOf('10.0.0.4')).toContain('server: "https://10.0.0.2:6443"\n')
    for (const name of ['10.0.0.1', '10.0.0.3']) {
      const host = world.hosts.get(name)!
      host.isOff = false
      host.image()
    }
    expect(await run()).toMatchObject({ changed: true })
    expect([...world.cluster!.members].sort()).toEqual(['node1', 'node2', 'node3'])
    expect(await run()).toMatchObject({ changed: false })
  })

  it('is refused while a majority is there, unless that is forced', async () => {
    await run()
    world.hosts.get('10.0.0.2')!.units.get('k3s')!.active = false
    const before = world.changes().length
    await expect(recover()).rejects.toMatchObject({ data: { findings: 'quorum-healthy' } })
    expect(world.changes()).toHaveLength(before)
    expect(await recover({ force: true })).toMatchObject({ changed: true })
    expect([...world.cluster!.members]).toEqual(['node2', 'node1', 'node3'])
  })

  it('is for embedded etcd, and for a server', async () => {
    await run({ hosts: { servers: ['10.0.0.2'], agents } })
    await expect(recover({ force: true })).rejects.toMatchObject({ data: { findings: 'no-etcd' } })
    await expect(recover({ server: '10.0.0.4' })).rejects.toMatchObject({ code: 'USAGE' })
  })
})
