import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { runCluster } from '../../../src/deploy/actions/run.ts'
import { parseJournal } from '../../../src/deploy/journal.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const lock = '/var/lib/cloudimg/lock'
const names = ['10.0.0.1', '10.0.0.2']
const hosts = { servers: names.slice(0, 1), agents: names.slice(1) }

function journals({ stateHome }: SimOperator): readonly string[] {
  const [cluster] = readdirSync(stateHome)
  return readdirSync(join(stateHome, cluster!)).filter(name => name.endsWith('.jsonl'))
}

it('goes on with the operation of one who died, once there is no sign of life', async () => {
  const world = new SimWorld(names, sampleImages)
  await using ann = await makeSimOperator(world)
  await using bob = await makeSimOperator(world)
  const run = (operator: SimOperator) =>
    runCluster({ image: sampleClusterImage(), hosts, stateHome: operator.stateHome }, testContext(), operator.ends)
  world.killAt = { call: 60, side: 'before' }
  await run(ann).catch(() => undefined)
  expect(world.isDead).toBe(true)
  world.revive()

  await expect(run(bob)).rejects.toMatchObject({ code: 'CLUSTER_LOCKED' })
  for (const host of world.hosts.values()) {
    const [owner, op, epoch, beat] = (host.text(lock) ?? '').split(' ')
    if (owner !== '') host.write(lock, `${owner} ${op} ${epoch} ${Number(beat) - 300}`)
  }
  const result = await run(bob)
  expect(journals(bob)).toEqual(journals(ann))
  expect(journals(bob)).toEqual([`${result.op}.jsonl`])
  const lines = parseJournal(readFileSync(result.journal!, 'utf8'))
  expect(lines.map(line => line.event)).toEqual(expect.arrayContaining(['begin', 'start', 'resume', 'end']))
  expect(lines.flatMap(line => line.epoch ?? [])).toEqual([2])
  expect([...world.nodes.keys()]).toEqual(['node1', 'node2'])
})
