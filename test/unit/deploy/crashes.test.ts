import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { renewCertificates } from '../../../src/deploy/actions/certificates.ts'
import { applyCluster, type ApplyOptions, undoDeclared } from '../../../src/deploy/actions/apply.ts'
import { deleteHosts, undoDelete } from '../../../src/deploy/actions/delete.ts'
import { importImages } from '../../../src/deploy/actions/import.ts'
import { joinHosts, undoJoin } from '../../../src/deploy/actions/join.ts'
import { recoverCluster, undoRecover } from '../../../src/deploy/actions/recover.ts'
import { replaceHost, undoReplace } from '../../../src/deploy/actions/replace.ts'
import { restoreSnapshot, undoRestore } from '../../../src/deploy/actions/restore.ts'
import { resetCluster } from '../../../src/deploy/actions/reset.ts'
import { runCluster, undoRun } from '../../../src/deploy/actions/run.ts'
import { listSnapshots, saveSnapshot, undoSnapshot } from '../../../src/deploy/actions/snapshot.ts'
import { undoUpgrade, upgradeCluster } from '../../../src/deploy/actions/upgrade.ts'
import { isCloudimgError } from '../../../src/core/error.ts'
import type { ReachOptions, RegistryChoice } from '../../../src/deploy/options.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { sampleServedImage, servedNames } from '../../support/sample-served-image.ts'
import { setCertificateDays } from '../../support/sim-care.ts'
import { simEnds } from '../../support/sim-operator.ts'
import { SimRegistry } from '../../support/sim-registry.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { sample } from '../../support/soak.ts'
import { testContext } from '../../support/test-context.ts'

// A crash of the operator at four points of every step: before the effect, after it, after the journal's line, in a torn line.
// Every call to a host is a step's effect or what follows a line of the journal; `torn` cuts the last line of the journal in two.

const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5']
const image = sampleClusterImage()
const next = sampleClusterImage({ files: { 'bin/k3s': 'k3s v1.31.5+k3s1' }, metadata: { version: 'v1.31.5+k3s1' } })
const able = sampleClusterImage({ metadata: { features: ['cluster-init-from-sqlite'] } })
const hosts = { servers: names.slice(0, 3), agents: names.slice(3, 4) }
const alone = { servers: names.slice(0, 1), agents: [] }
const choice = { server: '10.0.0.2' }
const ctx = testContext

interface Story {
  readonly name: string
  /** What was there before; nothing unless told. */
  readonly given?: (world: SimWorld, reach: ReachOptions) => Promise<unknown>
  readonly act: (world: SimWorld, reach: ReachOptions) => Promise<unknown>
  /** Of what was done, beyond what came of it. */
  readonly check?: (world: SimWorld) => void
  readonly undo?: (world: SimWorld, reach: ReachOptions) => Promise<unknown>
  /** What the operator has in the end, where that is what the action is about. */
  readonly kept?: (reach: ReachOptions) => Promise<unknown>
}

const cluster: NonNullable<Story['given']> = (world, reach) =>
  runCluster({ image, hosts, ...reach }, ctx(), simEnds(world))
const joining = { image, choice, hosts: { servers: [], agents: ['10.0.0.5'] } }
const replacing = { image, choice, host: '10.0.0.3' }
const deleting = { choice, hosts: ['10.0.0.1', '10.0.0.4'] }
const reconfiguring = {
  image,
  hosts,
  cluster: {
    config: { server: { disable: ['traefik'] }, agent: { 'kubelet-arg': ['max-pods=50'] } },
    tlsSans: ['api.example'],
  },
}
const applied: ApplyOptions = {
  image: sampleClusterImage({ files: { 'etc/motd.tmpl': '{{ .WORD }} {{ .NodeName }}\n' } }),
  hosts: { servers: names.slice(0, 3), agents: names.slice(3, 4) },
  cluster: { config: { server: {}, agent: {} }, tlsSans: [] },
  marks: new Map([['10.0.0.4', { labels: { old: 'a' }, taints: [] }]]),
  env: { all: { WORD: 'first' }, byHost: new Map() },
}
const applying: ApplyOptions = {
  ...applied,
  hosts: { servers: names.slice(0, 3), agents: names.slice(3) },
  cluster: { config: { server: { disable: ['traefik'] }, agent: {} }, tlsSans: [] },
  marks: new Map([['10.0.0.4', { labels: { zone: 'a' }, taints: [] }]]),
  env: { all: { WORD: 'second' }, byHost: new Map() },
  hooks: {
    beforeInstall: [{ run: 'before', on: 'all', timeoutSeconds: 9 }],
    afterInstall: [{ run: 'after', on: 'servers', timeoutSeconds: 9 }],
    afterUp: [{ run: 'up', on: 'first', timeoutSeconds: 9 }],
    beforeReset: [{ run: 'reset', on: 'all', timeoutSeconds: 9 }],
  },
}
const hookRuns = [
  '10.0.0.1: hook after',
  '10.0.0.1: launch up',
  '10.0.0.2: hook after',
  '10.0.0.3: hook after',
  '10.0.0.5: hook before',
]
const upgrading = { image: next, choice }

const served = sampleServedImage()
const servedHosts = { servers: names.slice(0, 2), agents: names.slice(3, 4) }
const serving = (registry: RegistryChoice) => ({
  image: served,
  hosts: servedHosts,
  cluster: { registry },
  wishes: { allowEven: true, ...(registry.mode === 'url' ? { registryPush: true } : {}) },
})
const managed = serving({ mode: 'managed' })
const byUrl = serving({ mode: 'url', url: 'https://hub.example' })
const converting = { image: able, hosts, wishes: { convertDatastore: true } }

/** Written into the cluster once the snapshot is taken: gone when that is restored. */
const later: NonNullable<Story['given']> = async (world, reach) => {
  await cluster(world, reach)
  await saveSnapshot({ choice: {}, ...reach }, ctx(), simEnds(world))
  world.cluster!.applied.push('later.yaml')
  await joinHosts({ ...joining, ...reach }, ctx(), simEnds(world))
}
const restoring = async (reach: ReachOptions) => {
  const { kept } = await listSnapshots({ choice: {}, ...reach }, ctx())
  return { choice: {}, snapshot: kept[0]!.id, ...reach }
}
const recovering = { server: '10.0.0.2', forceUnreachable: ['10.0.0.1', 'node3', '10.0.0.4'] }

const stories: readonly Story[] = [
  {
    name: 'run with a managed registry',
    act: (world, reach) => runCluster({ ...managed, ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoRun({ ...managed, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'run with the registry of a URL',
    given: world => Promise.resolve(void (world.registry = new SimRegistry())),
    act: (world, reach) => runCluster({ ...byUrl, ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoRun({ ...byUrl, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'delete with a managed registry',
    given: (world, reach) => runCluster({ ...managed, hosts, wishes: {}, ...reach }, ctx(), simEnds(world)),
    act: (world, reach) => deleteHosts({ choice, hosts: ['10.0.0.1'], ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoDelete({ choice, hosts: ['10.0.0.1'], ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'run',
    act: cluster,
    undo: (world, reach) => undoRun({ image, hosts, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'run --fanout',
    given: async world => {
      await Promise.resolve()
      for (const host of world.hosts.values()) host.http = { clients: ['curl'], servers: ['busybox'] }
    },
    act: (world, reach) => runCluster({ image, hosts, ...reach, wishes: { fanOut: true } }, ctx(), simEnds(world)),
    // By which way the bytes came is forgotten.
    undo: (world, reach) => undoRun({ image, hosts, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'join',
    given: cluster,
    act: (world, reach) => joinHosts({ ...joining, ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoJoin({ ...joining, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'delete',
    given: cluster,
    act: (world, reach) => deleteHosts({ ...deleting, ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoDelete({ ...deleting, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'replace',
    given: async (world, reach) => {
      await cluster(world, reach)
      world.hosts.get('10.0.0.3')!.image()
    },
    // Its first step, forgetting the old machine, is past return.
    act: (world, reach) => replaceHost({ ...replacing, ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoReplace({ ...replacing, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'reconfigure',
    given: cluster,
    act: (world, reach) => runCluster({ ...reconfiguring, ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoRun({ ...reconfiguring, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'apply',
    given: async (world, reach) => {
      world.server().write('/etc/motd', 'theirs', 0o644)
      await applyCluster({ ...applied, ...reach }, ctx(), simEnds(world))
    },
    act: (world, reach) => applyCluster({ ...applying, ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoDeclared({ ...applying, ...reach }, ctx(), simEnds(world)),
    // The effect of a hook and its mark are one change here: it never runs twice.
    check: world => expect(world.order.filter(change => / (?:hook|launch) /.test(change)).toSorted()).toEqual(hookRuns),
  },
  {
    name: 'apply of another image',
    given: cluster,
    act: (world, reach) => applyCluster({ ...applying, ...reach }, ctx(), simEnds(world)),
    check: world => expect(world.order.filter(change => / (?:hook|launch) /.test(change)).toSorted()).toEqual(hookRuns),
  },
  {
    name: 'upgrade',
    given: cluster,
    act: (world, reach) => upgradeCluster({ ...upgrading, ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoUpgrade({ ...upgrading, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'renew',
    given: async (world, reach) => {
      await cluster(world, reach)
      for (const host of world.hosts.values()) if (host.units.size > 0) setCertificateDays(host, 80)
    },
    act: (world, reach) => renewCertificates({ choice, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'renew --rotate',
    given: async (world, reach) => {
      await cluster(world, reach)
      for (const host of world.hosts.values()) if (host.units.size > 0) setCertificateDays(host, 300)
    },
    act: (world, reach) => renewCertificates({ choice, ...reach, wishes: { rotate: true } }, ctx(), simEnds(world)),
  },
  {
    name: 'import',
    given: async (world, reach) => {
      await cluster(world, reach)
      for (const host of world.hosts.values()) if (host.units.size > 0) host.lost.add(sampleImages[1]!)
    },
    act: (world, reach) => importImages({ choice, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'convert',
    given: (world, reach) => runCluster({ ...converting, hosts: alone, wishes: {}, ...reach }, ctx(), simEnds(world)),
    act: (world, reach) => runCluster({ ...converting, ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoRun({ ...converting, ...reach }, ctx(), simEnds(world)),
  },
  ...[hosts, alone].map((those): Story => ({
    name: `save (${those.servers.length} servers)`,
    given: (world, reach) => runCluster({ image, hosts: those, ...reach }, ctx(), simEnds(world)),
    act: (world, reach) => saveSnapshot({ choice: {}, ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoSnapshot({ choice: {}, ...reach }, ctx(), simEnds(world)),
    kept: async reach => (await listSnapshots({ choice: {}, ...reach }, ctx())).kept.map(({ reason }) => reason),
  })),
  {
    name: 'restore',
    given: later,
    act: async (world, reach) => restoreSnapshot(await restoring(reach), ctx(), simEnds(world)),
    undo: async (world, reach) => undoRestore(await restoring(reach), ctx(), simEnds(world)),
  },
  {
    name: 'recover',
    given: async (world, reach) => {
      await runCluster({ image, hosts: { servers: names, agents: [] }, ...reach }, ctx(), simEnds(world))
      for (const name of ['10.0.0.1', '10.0.0.3', '10.0.0.4']) world.hosts.get(name)!.isOff = true
    },
    act: (world, reach) => recoverCluster({ ...recovering, ...reach }, ctx(), simEnds(world)),
    undo: (world, reach) => undoRecover({ ...recovering, ...reach }, ctx(), simEnds(world)),
  },
  {
    name: 'reset',
    given: cluster,
    act: (world, reach) => resetCluster({ choice: {}, ...reach }, ctx(), simEnds(world)),
  },
]

const home = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'cloudimg-crash-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

function reachOf(directory: string): ReachOptions {
  return { stateHome: join(home, directory), limits: { timeoutSeconds: 0.05 } }
}

describe.each(stories)('a crash in $name', { timeout: 1_800_000 }, story => {
  it('is finished by the same command, and undone before the point of no return', async () => {
    const given = new SimWorld(names, [...sampleImages, ...servedNames])
    rmSync(join(home, 'given'), { recursive: true, force: true })
    await story.given?.(given, reachOf('given'))
    const before = given.state()
    const reference = given.clone()
    copyState('given', 'reference')
    await story.act(reference, reachOf('reference'))
    const after = reference.state()
    const kept = await story.kept?.(reachOf('reference'))
    expect(kept === undefined ? after : kept).not.toEqual(kept === undefined ? before : [])
    const points = Array.from({ length: reference.calls }, (_, index) => index + 1).flatMap(call =>
      (['before', 'after'] as const).flatMap(side => [false, true].map(torn => ({ call, side, torn }))),
    )
    let undone = 0
    // Some early ones whatever the sample is: before the point of no return, so that there is something to undo.
    const first = reference.firstChange!
    const early = [0, 0.1, 0.2, 0.3].map(
      share => ({ call: first + Math.floor((reference.calls - first) * share), side: 'after', torn: false }) as const,
    )
    for (const point of [...early, ...sample(`crashes in ${story.name}`, points, 12)]) {
      const what = `${story.name}, ${JSON.stringify(point)}`
      const world = await crash(story, given, point)
      // A step's first line is whole before anything is done: a torn one is for the resumption to stand.
      if (!point.torn && story.undo !== undefined && (await isUndone(story.undo, world.clone(), before, what))) undone++
      await story.act(world, reachOf('state'))
      expect(world.state(), `resumed: ${what}`).toEqual(after)
      expect(await story.kept?.(reachOf('state')), `kept: ${what}`).toEqual(kept)
      story.check?.(world)
    }
    expect(undone > 0 || story.undo === undefined || story.name === 'replace').toBe(true)
  })
})

interface Point {
  readonly call: number
  readonly side: 'before' | 'after'
  readonly torn: boolean
}

/** The world, and in `state` the operator's disk, as a killed operator leaves them. */
async function crash(story: Story, given: SimWorld, { torn, ...killAt }: Point): Promise<SimWorld> {
  const world = given.clone()
  copyState('given', 'state')
  world.killAt = killAt
  // A killed process writes nothing more: what its handlers write after the kill is taken away again.
  world.onKill = () => copyState('state', 'frozen')
  await story.act(world, reachOf('state')).catch(() => undefined)
  expect(world.isDead).toBe(true)
  copyState('frozen', 'state')
  tidy(torn)
  world.revive()
  return world
}

function copyState(from: string, to: string): void {
  rmSync(join(home, to), { recursive: true, force: true })
  if (existsSync(join(home, from))) cpSync(join(home, from), join(home, to), { recursive: true })
}

/** The claim names this very process, which is alive; a killed one would be dead. */
function tidy(torn: boolean): void {
  const state = join(home, 'state')
  if (!existsSync(state)) return
  for (const cluster of readdirSync(state)) {
    rmSync(join(state, cluster, 'running'), { force: true })
    const journal = readdirSync(join(state, cluster))
      .filter(name => name.endsWith('.jsonl'))
      .sort()
      .at(-1)
    if (!torn || journal === undefined) continue
    const path = join(state, cluster, journal)
    const text = readFileSync(path, 'utf8')
    truncateSync(path, text.trimEnd().lastIndexOf('\n') + 20)
  }
}

/** Images that were pushed to a registry stay there. */
function ofHosts(state: unknown): unknown {
  return { ...(state as object), pushed: [] }
}

/** False where a step was begun that nothing takes back, or nothing was begun. */
async function isUndone(
  undo: NonNullable<Story['undo']>,
  world: SimWorld,
  before: unknown,
  what: string,
): Promise<boolean> {
  copyState('state', 'undo')
  const refused = await undo(world, reachOf('undo')).then(
    () => undefined,
    (error: unknown) => error,
  )
  const found = refused === undefined ? ofHosts(world.state()) : isCloudimgError(refused) ? refused.code : refused
  expect([ofHosts(before), 'REFUSED'], `undo: ${what}`).toContainEqual(found)
  return refused === undefined
}
