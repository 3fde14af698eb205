import { expect, it } from 'vitest'
import { MiB } from '../../../src/core/bytes.ts'
import type { Event } from '../../../src/core/context.ts'
import { planCluster, runCluster } from '../../../src/deploy/actions/run.ts'
import type { RunOptions } from '../../../src/deploy/options.ts'
import { stepsOf } from '../../../src/deploy/plan.ts'
import { sampleImages } from '../../support/sample-cluster-image.ts'
import { realBundle, realSizedImage } from '../../support/real-sized-image.ts'
import { operator as sender, SimNetwork } from '../../support/sim-network.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const image = realSizedImage()

function makeWorld(count: number): SimWorld {
  const names = Array.from({ length: count }, (_, index) => `10.0.${Math.floor(index / 250)}.${(index % 250) + 1}`)
  const world = new SimWorld(names, sampleImages)
  for (const host of world.hosts.values()) host.http = { clients: ['curl'], servers: ['busybox'] }
  return world
}

function optionsOf(world: SimWorld, operator: SimOperator, servers: number, fanOut: boolean): RunOptions {
  const names = [...world.hosts.keys()]
  const hosts = { servers: names.slice(0, servers), agents: names.slice(servers) }
  return { image, hosts, stateHome: operator.stateHome, wishes: { fanOut } }
}

// Time of the processor, not of the clock: the machine may be busy with other things.
it.each([false, true])('a thousand hosts are planned in less than two seconds, fan-out: %s', async fanOut => {
  const world = makeWorld(1000)
  await using operator = await makeSimOperator(world)
  const options = optionsOf(world, operator, 3, fanOut)
  const before = process.cpuUsage()
  const { plan, pending } = await planCluster(options, testContext(), operator.ends)
  const { user, system } = process.cpuUsage(before)
  expect(plan.nodes).toHaveLength(1000)
  expect(pending).toHaveLength(stepsOf(plan).length)
  expect((user + system) / 1e6).toBeLessThan(2)
})

interface Seen {
  /** From the first byte to the last verified file, in virtual time. */
  readonly seconds: number
  /** All that the operator sent in that time, and all that it ever sent. */
  readonly sent: number
  readonly sentInAll: number
  /** The most that was in use at once, beyond what was before. */
  readonly heap: number
}

/** Links of 1 Gbit/s each way, an answer after a millisecond; programs on hosts take no time, so that only links count. */
async function run(count: number): Promise<Seen> {
  const world = makeWorld(count)
  await using operator = await makeSimOperator(world)
  world.network = new SimNetwork(world.clock)
  const sent = (): number => world.network!.sent.get(sender) ?? 0
  const phases = new Map<string, { readonly at: number; readonly sent: number }>()
  const before = process.memoryUsage().heapUsed
  let [most, heard] = [0, 0]
  const events = (event: Event): void => {
    if (event.kind === 'phase') phases.set(event.title, { at: world.clock.seconds, sent: sent() })
    if (++heard % 100 === 0) most = Math.max(most, process.memoryUsage().heapUsed)
  }
  await runCluster(optionsOf(world, operator, 1, true), { ...testContext(), events }, operator.ends)
  expect(world.nodes.size).toBe(count)
  const [begin, end] = [phases.get('Send')!, phases.get('Install')!]
  const seconds = end.at - begin.at
  return { seconds, sent: end.sent - begin.sent, sentInAll: sent(), heap: most - before }
}

it('a thousand hosts get a k3s release in twelve times the time of one, and the operator sends it less than twice', async () => {
  const one = await run(1)
  expect(one.sent).toBeGreaterThan(realBundle)
  const thousand = await run(1000)
  expect(thousand.seconds).toBeLessThan(12 * one.seconds)
  expect(thousand.sent).toBeLessThan(2 * realBundle)
  // Scripts, locks, looks and journals of a thousand hosts included, from the first phase to the last.
  expect(thousand.sentInAll).toBeLessThan(2 * realBundle)
  // Half a megabyte a host: what is not collected yet and the simulated hosts themselves included, with the whole command in each one's journal.
  expect(thousand.heap).toBeLessThan(512 * MiB)
  console.log(
    `one host ${one.seconds.toFixed(1)} s; a thousand ${thousand.seconds.toFixed(1)} s, ${(thousand.sent / realBundle).toFixed(2)} bundles sent, ${(thousand.sentInAll / realBundle).toFixed(2)} in all; heap +${Math.round(thousand.heap / MiB)} MiB`,
  )
}, 300_000)
