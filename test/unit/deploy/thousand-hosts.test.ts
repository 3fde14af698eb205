import { expect, it } from 'vitest'
import { planCluster } from '../../../src/deploy/actions/run.ts'
import { stepsOf } from '../../../src/deploy/plan.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { makeSimOperator } from '../../support/sim-operator.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

// Time of the processor, not of the clock: the machine may be busy with other things.
it('a thousand hosts are planned in less than two seconds', async () => {
  const names = Array.from({ length: 1000 }, (_, index) => `10.0.${Math.floor(index / 250)}.${(index % 250) + 1}`)
  const world = new SimWorld(names, sampleImages)
  await using operator = await makeSimOperator(world)
  const hosts = { servers: names.slice(0, 3), agents: names.slice(3) }
  const options = { image: sampleClusterImage(), hosts, stateHome: operator.stateHome }
  const before = process.cpuUsage()
  const { plan, pending } = await planCluster(options, testContext(), operator.ends)
  const { user, system } = process.cpuUsage(before)
  expect(plan.nodes).toHaveLength(1000)
  expect(pending).toHaveLength(stepsOf(plan).length)
  expect((user + system) / 1e6).toBeLessThan(2)
})
