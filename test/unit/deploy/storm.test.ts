import { expect, it } from 'vitest'
import { isCloudimgError } from '../../../src/core/error.ts'
import { MiB } from '../../../src/core/bytes.ts'
import { runCluster } from '../../../src/deploy/actions/run.ts'
import { seededRandom } from '../../support/noise.ts'
import { realSizedImage } from '../../support/real-sized-image.ts'
import { sampleImages } from '../../support/sample-cluster-image.ts'
import { gigabit, SimNetwork } from '../../support/sim-network.ts'
import { makeSimOperator } from '../../support/sim-operator.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { sample } from '../../support/soak.ts'
import { testContext } from '../../support/test-context.ts'

const image = realSizedImage()
const names = Array.from({ length: 12 }, (_, index) => `10.0.0.${index + 1}`)
const hosts = { servers: names.slice(0, 3), agents: names.slice(3) }

/** Machines of all kinds, on links of all kinds. */
function makeWorld(random: () => number): SimWorld {
  const world = new SimWorld(names, sampleImages)
  world.network = new SimNetwork(world.clock, 1 + random() * 200)
  world.verbSeconds = { stage: 5, install: 5, init: 30, join: 30 }
  for (const host of world.hosts.values()) {
    const share = 1 / (1 + Math.floor(random() * 20))
    world.network.setSpeed(host.name, { up: gigabit * share, down: gigabit * share })
    host.http = {
      clients: random() < 0.8 ? ['curl'] : [],
      servers: random() < 0.8 ? ['python3'] : [],
    }
    if (random() < 0.1) host.peerFault = random() < 0.5 ? 'lies' : 'closed'
  }
  return world
}

/** So many times in all, at any moment: a machine goes down for a while, or a line is cut in an upload. */
function stir(world: SimWorld, random: () => number, times: number): void {
  let left = times
  world.trouble = host => {
    if (left === 0 || random() > 0.02) return
    left--
    if (random() < 0.5) host.reboot(5 + random() * 200)
    else host.cutUploadAfter = Math.floor(random() * 80 * MiB)
  }
}

interface Weathered {
  readonly state: unknown
  readonly attempts: number
  readonly seconds: number
}

/** The same command until it succeeds, after a pause each time, as a person would. */
async function weather(seed: number, troubles: number): Promise<Weathered> {
  const random = seededRandom(seed)
  const world = makeWorld(random)
  await using operator = await makeSimOperator(world)
  stir(world, random, troubles)
  const fanOut = seed % 3 !== 0
  for (let attempts = 1; ; attempts++) {
    try {
      await runCluster(
        { image, hosts, stateHome: operator.stateHome, wishes: { fanOut } },
        testContext(),
        operator.ends,
      )
      return { state: world.state(), attempts, seconds: world.clock.seconds }
    } catch (error) {
      if (!isCloudimgError(error) || error.data.code === 'BUG' || error.code === 'BUG' || attempts > troubles)
        throw error
      await world.clock.sleep(300_000)
    }
  }
}

const seeds = sample(
  'storms',
  Array.from({ length: 200 }, (_, index) => index + 1),
  4,
)

it.each(seeds)(
  'storm %i: machines go down and lines are cut, and the same command finishes',
  { timeout: 600_000 },
  async seed => {
    const calm = await weather(seed, 0)
    expect(calm.attempts).toBe(1)
    const storm = await weather(seed, 8)
    expect(storm.state).toEqual(calm.state)
    // The same seed is the same story, to the millisecond.
    expect(await weather(seed, 8)).toEqual(storm)
  },
)
