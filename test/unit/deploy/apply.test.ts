import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { applyCluster, type ApplyOptions, planApply } from '../../../src/deploy/actions/apply.ts'
import { checkHosts } from '../../../src/deploy/actions/preflight.ts'
import { runCluster } from '../../../src/deploy/actions/run.ts'
import { declaredCluster, reachAsDeclared } from '../../../src/deploy/clusterfile/declared-cluster.ts'
import { declaredImage } from '../../../src/deploy/clusterfile/declared-image.ts'
import { parseClusterfile } from '../../../src/deploy/clusterfile/parse-clusterfile.ts'
import { describeApplyPlan } from '../../../src/cli/commands/apply.ts'
import type { DeployImage } from '../../../src/deploy/deploy-image.ts'
import type { SshOptions } from '../../../src/host/openssh.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
const image = sampleClusterImage()
let world: SimWorld
let operator: SimOperator

beforeEach(async () => {
  world = new SimWorld(names, sampleImages)
  operator = await makeSimOperator(world)
})
afterEach(() => operator[Symbol.asyncDispose]())

function fileOf(spec: string): ReturnType<typeof parseClusterfile>['file'] {
  return parseClusterfile(`apiVersion: cloudimg.io/v1\nkind: Cluster\nspec:\n  image: k3s:v1.31.4\n${spec}`, 'f').file
}

const marked = `  hosts:
    - { addresses: [10.0.0.1], role: server }
    - { addresses: [10.0.0.2], role: agent, labels: { zone: a, empty: "" }, taints: ["dedicated=db:NoSchedule", "quiet:PreferNoSchedule"] }
`

function optionsOf(spec: string, more: Partial<ApplyOptions> = {}): ApplyOptions {
  const file = fileOf(spec)
  const { cluster, hosts, marks } = declaredCluster(file, { directory: '/', env: {} })
  const reach = { stateHome: operator.stateHome, limits: { timeoutSeconds: 0.05 } }
  return {
    image: declaredImage(more.image ?? image, file.spec),
    cluster,
    marks,
    ...(hosts && { hosts }),
    ...reach,
    ...more,
  }
}

async function apply(
  spec: string,
  more: Partial<ApplyOptions> = {},
  ctx = testContext(),
): ReturnType<typeof applyCluster> {
  return await applyCluster(optionsOf(spec, more), ctx, operator.ends)
}

describe('apply', () => {
  it('makes a cluster with labels and taints, and a second time changes nothing', async () => {
    expect(await apply(marked)).toMatchObject({ changed: true, surplus: [] })
    const node = world.nodes.get('node2')!
    expect(node.labels).toEqual({ zone: 'a', empty: '' })
    expect(node.taints).toEqual(['dedicated=db:NoSchedule', 'quiet:PreferNoSchedule'])
    const before = world.changes().length
    expect(await apply(marked)).toMatchObject({ changed: false })
    expect(world.changes()).toHaveLength(before)
  })

  it('joins who is missing and marks who is there, and leaves the rest alone', async () => {
    await apply('  hosts: [{ addresses: [10.0.0.1], role: server }]\n')
    world.nodes.get('node1')!.labels = { theirs: 'yes' }
    const spec =
      '  hosts: [{ addresses: [10.0.0.1], role: server, labels: { a: b } }, { addresses: [10.0.0.2], role: agent }]\n'
    const plan = await planApply(optionsOf(spec), testContext(), operator.ends)
    expect(plan).toMatchObject({ missing: ['10.0.0.2'], surplus: [], outdated: [] })
    expect(plan.converge.pending).toContain('mark/10.0.0.1')
    await apply(spec)
    expect([...world.nodes.keys()]).toEqual(['node1', 'node2'])
    expect(world.nodes.get('node1')!.labels).toEqual({ theirs: 'yes', a: 'b' })
  })

  it('only names nodes that are not declared, until it is told to prune', async () => {
    await runCluster(
      { image, hosts: { servers: [names[0]!], agents: names.slice(1) }, stateHome: operator.stateHome },
      testContext(),
      operator.ends,
    )
    const ctx = testContext()
    expect(await apply(marked, {}, ctx)).toMatchObject({ surplus: ['node3'] })
    expect(ctx.seen).toContainEqual(expect.objectContaining({ kind: 'warning', code: 'surplus' }))
    expect(world.nodes.has('node3')).toBe(true)
    const plan = await planApply(optionsOf(marked, { prune: true }), testContext(), operator.ends)
    expect(plan.prune?.plan.leaving.map(node => node.name)).toEqual(['node3'])
    const before = world.changes().length
    const refused = apply(marked, { prune: true, approvePrune: () => Promise.reject(new Error('no')) })
    await expect(refused).rejects.toThrow('no')
    expect(world.changes()).toHaveLength(before)
    expect(await apply(marked, { prune: true })).toMatchObject({ changed: true, surplus: [] })
    expect([...world.nodes.keys()]).toEqual(['node1', 'node2'])
  })

  it('asks before it upgrades, and then joins', async () => {
    await apply('  hosts: [{ addresses: [10.0.0.1], role: server }]\n')
    const newer = newerImage()
    const before = world.changes().length
    const refused = apply(marked, { image: newer, approveUpgrade: () => Promise.reject(new Error('no')) })
    await expect(refused).rejects.toThrow('no')
    expect(world.changes()).toHaveLength(before)
    const plan = await planApply(optionsOf(marked, { image: newer }), testContext(), operator.ends)
    expect(plan).toMatchObject({ outdated: ['10.0.0.1'], missing: ['10.0.0.2'] })
    expect(plan.upgrade?.plan.action).toBe('upgrade')
    const text = describeApplyPlan({ ...plan, drift: ['node1: x'], surplus: ['node9'] })
    expect(text).toMatch(
      /^drifted:\n {2}node1: x\n\nnot declared, and left alone without --prune:\n {2}node9\n\nto join once the cluster is upgraded:\n {2}10\.0\.0\.2\n\n.*upgrade/s,
    )
    await apply(marked, { image: newer })
    expect([...world.nodes.values()].map(node => node.version)).toEqual(['v1.31.5+k3s1', 'v1.31.5+k3s1'])
  })

  it('tells what has drifted', async () => {
    await apply(marked)
    world.server().drift = ['/etc/rancher/k3s/config.yaml']
    const { drift } = await planApply(optionsOf(marked), testContext(), operator.ends)
    expect(drift.join()).toContain('/etc/rancher/k3s/config.yaml')
  })
})

function newerImage(): DeployImage {
  return sampleClusterImage({ files: { 'bin/k3s': 'k3s v1.31.5+k3s1' }, metadata: { version: 'v1.31.5+k3s1' } })
}

describe('what a Clusterfile declares', () => {
  it('is how each machine is reached, unless the command says otherwise', async () => {
    const spec =
      '  ssh: { user: root, identityFile: key, passwordEnv: PW }\n  hosts:\n    - { addresses: [10.0.0.1], role: server }\n    - { addresses: [10.0.0.2], role: agent, ssh: { user: pi, port: 2222, jump: gate } }\n'
    const { hosts, ssh } = declaredCluster(fileOf(spec), { directory: '/etc/c', env: { PW: 'secret' } })
    expect(hosts).toEqual({ servers: ['root@10.0.0.1'], agents: ['pi@10.0.0.2:2222'] })
    const asked: SshOptions[] = []
    const ends = reachAsDeclared(
      {
        ...operator.ends,
        connect: (address, options, ctx) => (asked.push(options), operator.ends.connect(address, options, ctx)),
      },
      ssh,
    )
    const reach = async (name: string, options: SshOptions) =>
      await ends.connect({ name, host: name, local: false }, options, testContext()).catch(() => undefined)
    await reach('10.0.0.1', {})
    await reach('10.0.0.2:2222', { identityFile: '/mine' })
    expect(asked).toEqual([
      { identityFile: '/etc/c/key', password: 'secret' },
      { identityFile: '/mine', password: 'secret', jump: 'gate' },
    ])
  })

  it.each([['  ssh: { passwordEnv: NOT_SET }\n  hosts: [{ addresses: [a], role: server }]\n', 'USAGE']])(
    'is refused where it cannot be: %j',
    (spec, code) => {
      expect(() => declaredCluster(fileOf(spec), { directory: '/', env: {} })).toThrow(
        expect.objectContaining({ code }),
      )
    },
  )

  it('is this machine where localhost stands alone', () => {
    const { hosts } = declaredCluster(fileOf('  hosts: [{ addresses: [localhost], role: server }]\n'), {
      directory: '/',
      env: {},
    })
    expect(hosts).toBeUndefined()
  })

  it('is what the image launches, in an environment, and hooks after it', () => {
    const app = { name: 'mysql', type: 'helm' as const, files: [], env: { A: '1' } }
    const has = sampleClusterImage({
      metadata: { applications: [app], launch: { applications: [], commands: ['old'] } },
    })
    const { spec } = fileOf(
      '  hosts: [{ addresses: [a], role: server }]\n  env: { A: "it\'s" }\n  applications: [mysql]\n  commands: [new]\n  hooks: { afterUp: [done] }\n',
    )
    const { metadata } = declaredImage(has, spec).platforms[0]!
    expect(metadata.launch).toEqual({
      applications: ['mysql'],
      commands: [String.raw`export 'A=it'\''s'`, 'new', 'done'],
    })
    expect(metadata.applications?.[0]?.env).toEqual({ A: "it's" })
    expect(() => declaredImage(image, spec)).toThrow('no application of that name')
  })
})

describe('preflight', () => {
  it('says what run would refuse, and changes nothing', async () => {
    world.server().extraFacts = ['data-fs=nfs']
    const result = await checkHosts(optionsOf(marked), testContext(), operator.ends)
    expect(result.hosts.map(({ name, role }) => `${name} ${role}`)).toEqual(['node1 server', 'node2 agent'])
    expect(result.findings).toMatchObject([{ id: 'data-fs', host: '10.0.0.1', severity: 'error' }])
    await expect(apply(marked)).rejects.toMatchObject({ code: 'HOST_UNSUITABLE', data: { findings: 'data-fs' } })
    expect(world.changes()).toEqual([])
  })

  it('needs no image', async () => {
    const { image: _image, ...options } = optionsOf(marked)
    expect(await checkHosts(options, testContext(), operator.ends)).toMatchObject({ findings: [] })
  })

  it('refuses nothing that shall be ignored, and the journal keeps it', async () => {
    world.server().extraFacts = ['data-fs=nfs']
    const { journal } = await apply(marked, { wishes: { ignore: ['data-fs'] } })
    expect(await readFile(journal!, 'utf8')).toContain(String.raw`\"ignore\":[\"data-fs\"]`)
  })
})
