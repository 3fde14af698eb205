import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { joinHosts, planJoin } from '../../../src/deploy/actions/join.ts'
import { planCluster, runCluster, undoRun } from '../../../src/deploy/actions/run.ts'
import type { ClusterOptions, RunOptions } from '../../../src/deploy/options.ts'
import { formatPlan } from '../../../src/deploy/plan-text.ts'
import { fixedKeys } from '../../../src/runtime/k3s/fixed-keys.ts'
import { readEntries } from '../../../src/runtime/k3s/standing.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld, tokenOf } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5']
const config = '/etc/rancher/k3s/config.yaml'
let world: SimWorld
let operator: SimOperator

beforeEach(async () => {
  world = new SimWorld(names, sampleImages)
  operator = await makeSimOperator(world)
})
afterEach(() => operator[Symbol.asyncDispose]())

function optionsOf(cluster: ClusterOptions = {}, more: Partial<RunOptions> = {}): RunOptions {
  return {
    image: sampleClusterImage(),
    hosts: { servers: names.slice(0, 3), agents: names.slice(3) },
    stateHome: operator.stateHome,
    limits: { timeoutSeconds: 0.05 },
    cluster,
    ...more,
  }
}

async function run(cluster: ClusterOptions = {}, more: Partial<RunOptions> = {}): ReturnType<typeof runCluster> {
  return await runCluster(optionsOf(cluster, more), testContext(), operator.ends)
}

const wanted: ClusterOptions = {
  config: { server: { disable: ['traefik'] }, agent: { 'kubelet-arg': ['max-pods=50'] } },
}

/** Hosts by the order in which they were restarted. */
function restarted(): readonly string[] {
  return world.order.filter(change => change.includes(': reconfigure ')).map(change => change.split(': ', 1)[0]!)
}

describe('a changed configuration', () => {
  it('is a rolling restart: servers one by one, then agents; and a second run changes nothing', async () => {
    await run()
    expect(await run(wanted)).toMatchObject({ changed: true })
    expect(restarted()).toEqual(names)
    expect(world.server().text(config)).toContain('disable: ["traefik"]\n')
    expect(world.hosts.get('10.0.0.5')!.text(config)).toContain('kubelet-arg: ["max-pods=50"]\n')
    const before = world.changes().length
    expect(await run(wanted)).toMatchObject({ changed: false })
    // What nobody speaks of stays as it is, on agents too.
    expect(await run()).toMatchObject({ changed: false })
    expect(world.changes()).toHaveLength(before)
  })

  it('is asked for, and shown as what goes and what comes, without secrets', async () => {
    await run()
    const before = world.changes().length
    const refused = run(wanted, {
      approve: plan => Promise.reject(new Error(`restarts ${plan.restarts.join(' ')}`)),
    })
    await expect(refused).rejects.toThrow(`restarts ${names.join(' ')}`)
    const { plan, pending } = await planCluster(optionsOf(wanted), testContext(), operator.ends)
    expect(pending).toEqual(names.map(name => `reconfigure/${name}`))
    const text = formatPlan(plan, pending)
    expect(text).toContain(`k3s is restarted for a new configuration: ${names.join(', ')}\n`)
    expect(text).toContain('| + disable: ["traefik"]')
    expect(text).toContain('| + kubelet-arg: ["max-pods=50"]')
    expect(JSON.stringify(plan)).not.toContain(tokenOf(world.server().text(config)!, 'token'))
    expect(world.changes()).toHaveLength(before)
  })

  it('names only what the plan says: nobody is asked where nothing is restarted', async () => {
    const { plan } = await planCluster(optionsOf(wanted), testContext(), operator.ends)
    expect(plan.restarts).toEqual([])
  })

  it('stops at a node that does not come back, which gets its old one', async () => {
    await run()
    const was = [...world.hosts.values()].map(host => host.text(config))
    world.hosts.get('10.0.0.2')!.isMisconfigured = true
    await expect(run(wanted)).rejects.toMatchObject({
      code: 'PHASE_FAILED',
      data: { changed: true },
      message: expect.stringContaining('this host runs what it ran before') as string,
    })
    expect([...world.hosts.values()].map(host => host.text(config)).slice(1)).toEqual(was.slice(1))
    expect(world.server().text(config)).not.toBe(was[0])
    expect([...world.nodes.values()]).toHaveLength(5)
    expect(await undoRun(optionsOf(wanted), testContext(), operator.ends)).toMatchObject({
      undone: ['reconfigure/10.0.0.2', 'reconfigure/10.0.0.1'],
    })
    expect(world.server().text(config)).toBe(was[0])
  })

  it('restarts as many agents at once as may be away', async () => {
    await run()
    const { plan } = await planCluster(
      optionsOf(wanted, { wishes: { maxUnavailable: 2 } }),
      testContext(),
      operator.ends,
    )
    expect(plan.phases.find(phase => phase.title === 'Restart agents')?.limit).toBe(2)
    expect(plan.phases.find(phase => phase.title === 'Restart servers')?.limit).toBe(1)
  })

  it('is refused where it was decided when the cluster was made, by name', async () => {
    await run()
    const before = world.changes().length
    const fixed = run({ config: { server: { 'cluster-cidr': '10.1.0.0/16', 'flannel-backend': 'host-gw' } } })
    await expect(fixed).rejects.toMatchObject({
      code: 'HOST_UNSUITABLE',
      message: expect.stringContaining(
        '"cluster-cidr" is decided when a cluster is made: it is "10.42.0.0/16"',
      ) as string,
    })
    expect(world.changes()).toHaveLength(before)
  })

  it('is refused while another server is down: the cluster would stop', async () => {
    await run()
    world.hosts.get('10.0.0.3')!.isOff = true
    const reach = optionsOf(wanted, { hosts: { servers: names.slice(0, 2), agents: [] } })
    await expect(runCluster(reach, testContext(), operator.ends)).rejects.toMatchObject({
      data: { findings: 'restart-quorum' },
    })
  })

  it('mends what somebody else has changed by hand', async () => {
    await run()
    const host = world.hosts.get('10.0.0.4')!
    const was = host.text(config)!
    host.write(config, `${was}kubelet-arg: ["max-pods=1"]\n`)
    // An agent keeps what it has where nobody speaks of it.
    expect(await run()).toMatchObject({ changed: false })
    expect(await run({ config: { agent: {} } })).toMatchObject({ changed: true })
    expect(host.text(config)).toBe(was)
  })

  it('is no business of join, which refuses it', async () => {
    await run({}, { hosts: { servers: names.slice(0, 1), agents: [] } })
    const joining = {
      ...optionsOf({ tlsSans: ['api.example'] }),
      choice: { server: '10.0.0.1' },
      hosts: { servers: [], agents: ['10.0.0.4'] },
    }
    await expect(joinHosts(joining, testContext(), operator.ends)).rejects.toMatchObject({
      data: { findings: 'config-differs' },
    })
    const { plan } = await planJoin({ ...joining, cluster: {} }, testContext(), operator.ends)
    expect(plan.restarts).toEqual([])
  })

  it('leaves no secret in the journal', async () => {
    await run()
    const { journal } = await run(wanted)
    const text = await readFile(journal!, 'utf8')
    expect(text).not.toContain(tokenOf(world.server().text(config)!, 'token'))
    expect(text).toContain('"verb":"restore-config"')
  })
})

describe('keys that no restart may change', () => {
  const keysOf = (before: string, after: string, role: 'server' | 'agent' = 'server'): readonly string[] =>
    fixedKeys(role, readEntries(before), readEntries(after)).map(({ key }) => key)

  it.each([
    ['cluster-cidr: "10.1.0.0/16"', '', ['cluster-cidr']],
    ['', 'cluster-cidr: "10.42.0.0/16"', []],
    ['service-cidr: ["10.43.0.0/16"]', '', []],
    ['', 'flannel-backend: "none"', ['flannel-backend']],
    ['', 'secrets-encryption: true', ['secrets-encryption']],
    ['disable-network-policy: true', 'disable-network-policy: true', []],
    ['disable: ["traefik"]', 'disable: ["servicelb","traefik"]', ['disable: servicelb']],
    ['disable: ["traefik"]', 'disable: ["metrics-server"]', []],
    ['node-ip: "10.0.0.1"', 'node-ip: "10.0.0.2"', ['node-ip']],
    ['node-name: "a"', 'node-name: "b"', ['node-name']],
    ['tls-san: ["a"]', 'tls-san: ["a","b"]', []],
  ] as const)('from %j to %j are %j', (before, after, keys) => expect(keysOf(before, after)).toEqual(keys))

  it('are fewer on agents', () => {
    expect(keysOf('node-ip: "10.0.0.1"\nnode-name: "a"', 'node-ip: "10.0.0.2"\nnode-name: "b"', 'agent')).toEqual([
      'node-name',
    ])
  })
})
