import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { restoreSnapshot } from '../../../src/deploy/actions/restore.ts'
import { runCluster } from '../../../src/deploy/actions/run.ts'
import { listSnapshots, type SnapshotOptions } from '../../../src/deploy/actions/snapshot.ts'
import { undoUpgrade, upgradeCluster } from '../../../src/deploy/actions/upgrade.ts'
import type { ActionResult } from '../../../src/deploy/act.ts'
import { formatAge } from '../../../src/deploy/age.ts'
import type { KeptSnapshot } from '../../../src/deploy/kept-snapshots.ts'
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

async function restore(snapshot: string): Promise<ActionResult> {
  return await restoreSnapshot({ ...reach(), snapshot }, testContext(), operator.ends)
}

async function kept(): Promise<readonly KeptSnapshot[]> {
  return (await listSnapshots(reach(), testContext(), operator.ends)).kept
}

const patch = sampleClusterImage({
  files: { 'bin/k3s': 'k3s v1.31.5+k3s1' },
  metadata: { version: 'v1.31.5+k3s1' },
})
const minor = sampleClusterImage({
  files: { 'bin/k3s': 'k3s v1.32.0+k3s1' },
  metadata: { version: 'v1.32.0+k3s1' },
})

function versions(): readonly string[] {
  return [...world.nodes.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(node => node.version)
}

describe('an upgrade that failed', () => {
  const upgrade = async (to: typeof image): Promise<unknown> =>
    await upgradeCluster({ image: to, ...reach() }, testContext(), operator.ends).then(
      () => undefined,
      (error: unknown) => error,
    )

  it.each([
    ['the first server', '10.0.0.1'],
    ['the last server', '10.0.0.3'],
    ['an agent', '10.0.0.4'],
  ])('over a minor version at %s says how to go back, and that goes back', async (_, broken) => {
    await run()
    world.hosts.get(broken)!.isBroken = true
    const error = await upgrade(minor)
    const [snapshot] = await kept()
    const cluster = snapshot!.cluster
    expect(error).toMatchObject({
      code: 'PHASE_FAILED',
      hint: expect.stringMatching(
        new RegExp(
          `cloudimg snapshot restore ${snapshot!.id} --cluster ${cluster} --confirm ${cluster}; its snapshot is less than a minute old, and what was written since is lost`,
        ),
      ),
    })
    world.cluster!.applied.push('later.yaml')
    await restore(snapshot!.id)
    expect(versions()).toEqual(Array.from({ length: 4 }, () => 'v1.31.4+k3s1'))
    expect(world.cluster!.applied).toEqual([])
    expect(await run()).toMatchObject({ changed: false })
  })

  it('over a minor version is not undone: the refusal names the step', async () => {
    await run()
    world.hosts.get('10.0.0.1')!.isBroken = true
    await upgrade(minor)
    const undone = undoUpgrade({ image: minor, ...reach() }, testContext(), operator.ends)
    await expect(undone).rejects.toMatchObject({ code: 'REFUSED', data: { step: 'upgrade/10.0.0.1' } })
  })

  it('within a minor version walks back', async () => {
    await run()
    const before = world.state()
    world.hosts.get('10.0.0.3')!.isBroken = true
    expect(await upgrade(patch)).toMatchObject({ code: 'PHASE_FAILED' })
    expect(versions().slice(0, 3)).toEqual(['v1.31.5+k3s1', 'v1.31.5+k3s1', 'v1.31.4+k3s1'])
    await undoUpgrade({ image: patch, ...reach() }, testContext(), operator.ends)
    expect(versions()).toEqual(Array.from({ length: 4 }, () => 'v1.31.4+k3s1'))
    expect(world.state()).toEqual(before)
  })
})

describe('formatAge', () => {
  it.each([
    [-5, 'less than a minute'],
    [90, '2 min'],
    [3 * 3600, '3 h'],
    [3 * 86_400, '3 days'],
  ])('says %i seconds as %s', (seconds, text) => expect(formatAge(seconds)).toBe(text))
})
