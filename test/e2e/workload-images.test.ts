import { mkdir, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KiB } from '../../src/core/bytes.ts'
import { parseReference } from '../../src/core/reference.ts'
import { planCluster, runCluster, type RunResult } from '../../src/deploy/actions/run.ts'
import type { DeployImage } from '../../src/deploy/deploy-image.ts'
import type { RunOptions } from '../../src/deploy/options.ts'
import { stepsOf } from '../../src/deploy/plan.ts'
import { openDeployImage } from '../../src/deploy/store-image.ts'
import { openStore } from '../../src/oci/store/store.ts'
import { type Op, printContent } from '../../src/runtime/step.ts'
import { cloudimgJson, storeOf } from '../support/cloudimg.ts'
import { type Lab, type LabHost, startLab } from '../support/lab.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { makeStandinRelease } from '../support/standin-release.ts'
import { testContext } from '../support/test-context.ts'
import { pushWorkloadImage, workloadImage } from '../support/workload-images.ts'

// With K3S_REAL_DIR=…/v1.21.2+k3s1 the same on a real k3s, and pods besides.
const real = process.env.K3S_REAL_DIR
const version = real === undefined ? 'v1.31.4+k3s1' : basename(real)
const largeBytes = 2_000 * KiB
const smallBytes = 200 * KiB

let scratch: Scratch
let registry: RealRegistry
let lab: Lab
let first: DeployImage
/** The same bundle with another small image. */
let second: DeployImage
const at = (...parts: string[]): string => join(scratch.path, ...parts)
/** As pods and imageList name them. */
const asked: string[] = []
/** By name as containerd keeps it: the digest that it must have. */
const wanted = new Map<string, string>()

beforeAll(async () => {
  scratch = await makeScratch()
  registry = await startRealRegistry()
  if (real === undefined) await makeStandinRelease(at('release'), { tag: version, arches: ['amd64'] })
  const large = workloadImage({ layers: [['large {arch}', largeBytes]], runs: true })
  const index = await pushWorkloadImage(`${registry.host}/large:1`, large)
  const [manifest] = large.manifests
  wanted.set(`${registry.host}/large:1`, manifest!.descriptor.digest)
  // As a pod that is pinned by the digest of the index.
  wanted.set(`${registry.host}/large@${index}`, manifest!.descriptor.digest)
  asked.push(...wanted.keys())
  // Of a tag and a digest, the digest counts.
  await pushWorkloadImage(`${registry.host}/both:1`, large)
  wanted.set(`${registry.host}/both@${index}`, manifest!.descriptor.digest)
  asked.push(`${registry.host}/both:1@${index}`)
  for (const number of ['1', '2']) {
    const small = workloadImage({ arches: ['amd64'], layers: [[`small ${number}`, smallBytes]], runs: true })
    await pushWorkloadImage(`${registry.host}/small:${number}`, small)
    if (number === '1') wanted.set(`${registry.host}/small:1`, small.manifests[0]!.descriptor.digest)
  }
  first = await buildImage('1', [...asked, `${registry.host}/small:1`])
  second = await buildImage('2', [...asked, `${registry.host}/small:2`])
  asked.push(`${registry.host}/small:1`)
  // From here on nobody has a registry.
  await registry.stop()
  lab = await startLab(2)
})
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

async function buildImage(number: string, names: readonly string[]): Promise<DeployImage> {
  const directory = at(`build-${number}`)
  await mkdir(join(directory, 'context/manifests'), { recursive: true })
  await writeFile(join(directory, 'Kubefile'), `FROM scratch\nBASE k3s@${version}\nCOPY . .\n`)
  await writeFile(join(directory, 'context/manifests/imageList'), names.map(name => `${name}\n`).join(''))
  const place = { home: at('cloudimg') }
  const flags = [
    '-f',
    join(directory, 'Kubefile'),
    '--mirror',
    `k3s=${real === undefined ? at('release') : dirname(real)}`,
    '-t',
    `cluster:${number}`,
  ]
  await cloudimgJson(['build', ...flags, '--platform', 'linux/amd64', join(directory, 'context')], place)
  const [store, ctx, ref] = [await openStore(storeOf(place)), testContext(), parseReference(`cluster:${number}`)]
  return await openDeployImage(store, ref, (await store.resolve(`cluster:${number}`, ctx))!, ctx)
}

function optionsOf(image = first): RunOptions {
  return {
    image,
    hosts: { servers: [lab.hosts[0]!.name], agents: [lab.hosts[1]!.name] },
    ssh: { configFile: lab.ssh.configFile },
    wishes: { allowStandIn: real === undefined },
    fixes: ['default-route'],
    limits: { timeoutSeconds: 240 },
    stateHome: at('state'),
  }
}

const run = (): Promise<RunResult> => runCluster(optionsOf(), testContext())

/** A pod of each image on each node, which may pull nothing; gone when this returns. */
async function runPods(): Promise<void> {
  const [server] = lab.hosts
  const pods = lab.hosts.flatMap(host =>
    asked.map((image, index) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `${host.name}-${index}` },
      spec: {
        nodeName: host.name,
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'sample', image, imagePullPolicy: 'IfNotPresent' }],
      },
    })),
  )
  const kubectl = '/usr/local/bin/k3s kubectl'
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: pods })
  await server!.must(`${kubectl} apply -f -`, { input: list })
  const waiting = server!.must(`${kubectl} wait --for=condition=Ready pod --all --timeout=240s`, { timeoutMs: 300_000 })
  expect((await waiting).split('\n')).toHaveLength(pods.length)
  await server!.must(`${kubectl} delete pod --all`, { timeoutMs: 300_000 })
}

/** What an op sends to its host. */
function bytesOf(op: Op): number {
  if (op.op === 'upload') return op.size
  if (op.op === 'unpack') return op.entries.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.size : 0), 0)
  return op.op === 'file' ? printContent(op.content).length : 0
}

/** Name → digest, of what is pinned. */
async function pinnedImages(host: LabHost): Promise<ReadonlyMap<string, string>> {
  const rows = (await host.must('/usr/local/bin/k3s ctr images ls')).split('\n').slice(1)
  const pinned = rows.filter(row => row.includes('io.cri-containerd.pinned=pinned'))
  return new Map(pinned.map(row => row.split(/\s+/)).map(([name, , digest]) => [name!, digest!]))
}

describe('the images of a bundle', () => {
  it('are on every node, under each name that asks for them, and pinned', async () => {
    expect(await run()).toMatchObject({ changed: true })
    for (const host of lab.hosts) {
      const images = await pinnedImages(host)
      for (const [name, digest] of wanted) expect(images.get(name), `${name} on ${host.name}`).toBe(digest)
      const seen = await host.must('/usr/local/bin/k3s crictl images -o json')
      for (const name of wanted.keys()) expect(seen).toContain(JSON.stringify(name))
    }
  })

  it('are not touched again by the same command', async () => {
    expect(await run()).toMatchObject({ changed: false })
    expect((await planCluster(optionsOf(), testContext())).pending).toEqual([])
  })

  it('are missed by the installer’s status when they are gone, and healed by run and by import', async () => {
    const [server, agent] = lab.hosts
    const [lost] = wanted.keys()
    const remove = `/usr/local/bin/k3s ctr images rm ${lost}`
    const node = 'sh /var/lib/cloudimg/current/scripts/cloudimg-node'
    const missing = async (host: LabHost): Promise<unknown> => {
      const answer = JSON.parse((await host.must(`${node} status 2>/dev/null`)).split('\n').at(-1)!) as object
      return 'missing' in answer ? answer.missing : undefined
    }
    await agent!.must(remove)
    expect(await missing(agent!)).toEqual([lost])
    expect((await planCluster(optionsOf(), testContext())).pending).toEqual([`images/${agent!.name}`])
    const result = await run()
    expect(result.hosts.map(host => host.changed)).toEqual([false, true])
    expect(await missing(agent!)).toEqual([])
    await server!.must(remove)
    await server!.must(`${node} import --archive /var/lib/cloudimg/current/images/oci`)
    expect(await missing(server!)).toEqual([])
    expect((await pinnedImages(server!)).get(lost!)).toBe(wanted.get(lost!))
  })

  it('come back with those that k3s brings itself, when all are gone', async () => {
    const [server, agent] = lab.hosts
    const own = (await agent!.must('cat /var/lib/cloudimg/current/images/k3s-images.txt')).split('\n')
    const gone = [...own, ...wanted.keys()].join(' ')
    await agent!.must(`/usr/local/bin/k3s ctr images rm ${gone}`)
    expect((await planCluster(optionsOf(), testContext())).pending).toEqual([`images/${agent!.name}`])
    expect((await run()).hosts.map(host => host.changed)).toEqual([false, true])
    const names = await agent!.must('/usr/local/bin/k3s ctr images ls -q')
    expect(names.split('\n')).toEqual(expect.arrayContaining([...own, ...wanted.keys()]))
    expect((await planCluster(optionsOf(), testContext())).pending).toEqual([])
    expect(await server!.must('/usr/local/bin/k3s kubectl get nodes --no-headers')).not.toContain('NotReady')
  })

  if (real !== undefined)
    it('start pods without a registry and a route out, also after a prune', async () => {
      for (const host of lab.hosts) {
        expect(await host.must('ip route get 192.0.2.1')).toContain(' dev cloudimg0 ')
        expect(await host.exec('ping -c1 -W1 192.0.2.1')).toMatchObject({ code: 1 })
      }
      await runPods()
      for (const host of lab.hosts) await host.must('/usr/local/bin/k3s crictl rmi --prune', { timeoutMs: 120_000 })
      await run()
      await runPods()
    }, 900_000)

  it('travel to a node again only where they changed', async () => {
    const { plan } = await planCluster(optionsOf(second), testContext())
    for (const host of lab.hosts) {
      const ops = stepsOf(plan)
        .filter(step => step.host === host.name && step.id.startsWith('send/'))
        .flatMap(step => step.do)
      const sent = ops.reduce((sum, op) => sum + bytesOf(op), 0)
      expect(sent).toBeGreaterThan(smallBytes)
      expect(sent).toBeLessThanOrEqual(1.1 * smallBytes + 256 * KiB)
    }
  })
})
