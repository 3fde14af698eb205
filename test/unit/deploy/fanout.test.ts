import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MiB } from '../../../src/core/bytes.ts'
import type { Event } from '../../../src/core/context.ts'
import { planCluster, runCluster } from '../../../src/deploy/actions/run.ts'
import type { DeployImage } from '../../../src/deploy/deploy-image.ts'
import type { RunOptions } from '../../../src/deploy/options.ts'
import { realBundle, realSizedImage } from '../../support/real-sized-image.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { gigabit, operator as sender, SimNetwork } from '../../support/sim-network.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const bundle = realBundle
const image = realSizedImage()

let world: SimWorld
let operator: SimOperator
afterEach(() => operator[Symbol.asyncDispose]())

async function makeWorld(hosts: number): Promise<readonly string[]> {
  const names = Array.from({ length: hosts }, (_, index) => `10.0.${Math.floor(index / 250)}.${(index % 250) + 1}`)
  world = new SimWorld(names, sampleImages)
  operator = await makeSimOperator(world)
  world.network = new SimNetwork(world.clock)
  world.verbSeconds = { stage: 2 }
  for (const host of world.hosts.values()) host.http = { clients: ['curl'], servers: ['busybox'] }
  return names
}

interface Sent {
  /** Of the phase, in virtual time. */
  readonly seconds: number
  readonly warnings: readonly string[]
}

function optionsOf(more: Partial<RunOptions> = {}): RunOptions {
  const [server, ...agents] = [...world.hosts.keys()]
  return {
    image,
    hosts: { servers: [server!], agents },
    stateHome: operator.stateHome,
    wishes: { fanOut: true },
    ...more,
  }
}

async function run(more: Partial<RunOptions> = {}): Promise<Sent> {
  const begins = new Map<string, number>()
  const warnings: string[] = []
  const events = (event: Event): void => {
    if (event.kind === 'phase') begins.set(event.title, world.clock.seconds)
    if (event.kind === 'warning' && event.code === 'fan-out') warnings.push(event.message)
  }
  await runCluster(optionsOf(more), { ...testContext(), events }, operator.ends)
  return { seconds: begins.get('Install')! - begins.get('Send')!, warnings }
}

function bytesOf(machine: string): number {
  return world.network!.sent.get(machine) ?? 0
}

/** Names of those whom the operator sent the archive itself. */
function sentDirectly(): readonly string[] {
  return [...world.hosts.values()]
    .filter(host => host.changes.some(change => change.startsWith('upload') && change.endsWith('.tar.zst')))
    .map(host => host.name)
}

function remains(): readonly string[] {
  return [...world.hosts.values()].flatMap(host => [
    ...[...host.units.keys()].filter(unit => unit.includes('fanout')),
    ...[...host.files.keys()].filter(path => /fanout|\.pack$|\/lock/.test(path)),
  ])
}

describe('without --fanout', () => {
  it('every byte comes from the operator, and nobody serves', async () => {
    await makeWorld(5)
    await run({ wishes: {} })
    expect(bytesOf(sender)).toBeGreaterThan(5 * bundle)
    expect([...world.hosts.values()].map(host => host.opened)).toEqual([0, 0, 0, 0, 0])
  })
})

describe('with --fanout', () => {
  it('the operator sends each file once, and nothing of it remains', async () => {
    await makeWorld(20)
    const { warnings } = await run()
    expect(warnings).toEqual([])
    expect(sentDirectly()).toHaveLength(1)
    expect(bytesOf(sender)).toBeLessThan(1.1 * bundle)
    expect(remains()).toEqual([])
    expect(world.nodes.size).toBe(20)
  })

  it('a second run changes nothing, and nobody serves again', async () => {
    await makeWorld(4)
    await run()
    const [changes, opened] = [world.changes().length, [...world.hosts.values()].map(host => host.opened)]
    expect(await runCluster(optionsOf(), testContext(), operator.ends)).toMatchObject({ changed: false })
    expect(world.changes()).toHaveLength(changes)
    expect([...world.hosts.values()].map(host => host.opened)).toEqual(opened)
  })

  it('hosts that have the files already pass them on to one that joins', async () => {
    const names = await makeWorld(3)
    await run({ hosts: { servers: names.slice(0, 1), agents: names.slice(1, 2) } })
    const before = bytesOf(sender)
    await run()
    expect(bytesOf(sender) - before).toBeLessThan(MiB)
    expect(world.hosts.get(names[2]!)!.changes.join()).toMatch(/fetch .*\.tar\.zst from 10\.0\.0\.[12]/)
  })

  it('the plan says which host gets what from whom, and does not differ in anything else', async () => {
    const names = await makeWorld(4)
    world.hosts.get(names[1]!)!.http = { clients: [], servers: ['python3'] }
    world.hosts.get(names[2]!)!.http = { clients: ['wget'], servers: [] }
    const { plan } = await planCluster(optionsOf(), testContext(), operator.ends)
    const [send] = plan.phases
    const archives = send!.steps.filter(step => step.id.endsWith('.tar.zst'))
    expect(archives.map(step => step.sentence.replace(/^.*MiB/, ''))).toEqual([
      ', from a host that has it',
      ', directly: there is neither curl nor wget',
      ', from a host that has it',
      ', from a host that has it',
    ])
    expect(send!.steps.find(step => step.id.endsWith('/tree'))!.sentence).toContain('from a host that has it')
    const usual = (await planCluster(optionsOf({ wishes: {} }), testContext(), operator.ends)).plan
    expect(usual.phases[0]!.steps.map(step => step.id)).toEqual(send!.steps.map(step => step.id))
    await run()
    expect(sentDirectly()).toContain(names[1])
    expect(sentDirectly()).not.toContain(names[2])
  })

  it('hosts of different architectures get what is theirs', async () => {
    const names = await makeWorld(8)
    for (const name of names.slice(4)) world.hosts.get(name)!.machine = 'aarch64'
    const arm = sampleClusterImage({
      metadata: { platform: 'linux/arm64' },
      files: {
        'bin/k3s': 'for arm',
        'images/k3s-airgap-images-amd64.tar.zst': undefined,
        'images/k3s-airgap-images-arm64.tar.zst': 'arm images',
      },
      sizes: { 'bin/k3s': 65 * MiB, 'images/k3s-airgap-images-arm64.tar.zst': 280 * MiB },
    })
    const both: DeployImage = { ...image, platforms: [...image.platforms, ...arm.platforms] }
    await run({ image: both })
    expect(bytesOf(sender)).toBeLessThan(1.1 * (bundle + 345 * MiB))
    const has = [...world.hosts.values()].map(host => host.text('/usr/local/bin/k3s'))
    expect(has.slice(0, 4)).toEqual(Array(4).fill('the k3s program'))
    expect(has.slice(4)).toEqual(Array(4).fill('for arm'))
  })
})

describe('a peer that does not do its part', () => {
  beforeEach(() => makeWorld(30))

  it.each([
    ['lies', 'other bytes than'],
    ['breaks off', 'exit code 28'],
    ['closed', 'exit code 7'],
    ['cannot open', 'does not serve'],
  ] as const)('%s: others are asked, and all get everything', async (fault, words) => {
    const bad = [...world.hosts.values()].slice(0, 2)
    for (const host of bad) host.peerFault = fault
    const { warnings } = await run()
    expect(warnings.join('\n')).toContain(words)
    expect(world.nodes.size).toBe(30)
    expect(bytesOf(sender)).toBeLessThan(4 * bundle)
    expect(remains()).toEqual([])
  })

  it('where hosts cannot reach each other, the operator sends everything', async () => {
    for (const host of world.hosts.values()) host.peerFault = 'closed'
    const { seconds } = await run()
    expect(sentDirectly()).toHaveLength(30)
    expect(seconds).toBeLessThan(30 * 4 + 60)
  })

  it('goes down in the middle: only its own part waits for the same command', async () => {
    const [first] = world.hosts.values()
    const trip = world.clock.at(world.clock.now() + 8000, () => first!.reboot(60))
    await expect(run()).rejects.toMatchObject({ code: 'PHASE_FAILED' })
    trip()
    const done = [...world.hosts.values()].filter(host => [...host.files.keys()].some(path => path.endsWith('.staged')))
    expect(done.length).toBeGreaterThanOrEqual(29)
    await world.clock.sleep(120_000)
    const before = bytesOf(sender)
    await run()
    expect(bytesOf(sender) - before).toBeLessThan(20 * MiB)
    expect(world.nodes.size).toBe(30)
    expect(remains()).toEqual([])
  })
})

describe('an operator who dies', () => {
  it('leaves nobody serving for longer than half an hour', async () => {
    await makeWorld(8)
    world.trouble = () => {
      if (world.clock.seconds > 6) world.killAt = { call: world.calls + 1, side: 'before' }
    }
    await run().catch(() => undefined)
    expect(world.isDead).toBe(true)
    const serving = (): number => [...world.hosts.values()].filter(host => host.runs('cloudimg-fanout')).length
    expect(serving()).toBeGreaterThan(0)
    await world.clock.sleep(1_800_000)
    expect(serving()).toBe(0)
    expect(remains().filter(path => path.includes('fanout'))).toEqual([])
  })
})

describe('a slow host', () => {
  it.each(['up', 'down'] as const)('with a slow way %s does not hold the rest', async way => {
    const reference = await makeWorld(64).then(() => run())
    for (const index of [0, 1, 7]) {
      await operator[Symbol.asyncDispose]()
      const names = await makeWorld(64)
      const speed = { up: gigabit, down: gigabit, [way]: gigabit / 100 }
      world.network!.setSpeed(names[index]!, speed)
      const ready: number[] = []
      const ctx = testContext()
      const events = (event: Event): void => {
        if (event.kind === 'host' && event.outcome === 'changed' && event.sentence.startsWith('verify'))
          ready.push(world.clock.seconds)
      }
      const begin = world.clock.seconds
      await runCluster(optionsOf(), { ...ctx, events }, operator.ends)
      // The seed's own patience is the longest that anybody waits.
      expect(ready.sort((a, b) => a - b)[62]! - begin).toBeLessThan(reference.seconds + 150)
      expect(bytesOf(sender)).toBeLessThan(2.1 * bundle)
    }
  })
})

describe('an upload that is cut', () => {
  it('goes on where it stopped, and finished files are not sent again', async () => {
    const [name] = await makeWorld(1)
    world.hosts.get(name!)!.cutUploadAfter = 50 * MiB
    await expect(run({ wishes: {} })).rejects.toMatchObject({ code: 'PHASE_FAILED' })
    await run({ wishes: {} })
    expect(bytesOf(sender)).toBeLessThan(bundle + MiB)
  })
})
