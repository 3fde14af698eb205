import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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

const version = 'v1.31.4+k3s1'
const largeBytes = 2_000 * KiB
const smallBytes = 200 * KiB

let scratch: Scratch
let registry: RealRegistry
let lab: Lab
let first: DeployImage
/** The same bundle with another small image. */
let second: DeployImage
const at = (...parts: string[]): string => join(scratch.path, ...parts)
/** By name as a pod gives it: the digest that containerd must have. */
const wanted = new Map<string, string>()

beforeAll(async () => {
  scratch = await makeScratch()
  registry = await startRealRegistry()
  await makeStandinRelease(at('release'), { tag: version, arches: ['amd64'] })
  const large = workloadImage({ layers: [['large {arch}', largeBytes]] })
  const index = await pushWorkloadImage(`${registry.host}/large:1`, large)
  const [manifest] = large.manifests
  wanted.set(`${registry.host}/large:1`, manifest!.descriptor.digest)
  // As a pod that is pinned by the digest of the index.
  wanted.set(`${registry.host}/large@${index}`, manifest!.descriptor.digest)
  for (const number of ['1', '2']) {
    const small = workloadImage({ arches: ['amd64'], layers: [[`small ${number}`, smallBytes]] })
    await pushWorkloadImage(`${registry.host}/small:${number}`, small)
    if (number === '1') wanted.set(`${registry.host}/small:1`, small.manifests[0]!.descriptor.digest)
  }
  first = await buildImage('1', [...wanted.keys()])
  const others = [...wanted.keys()].filter(name => !name.includes('/small:'))
  second = await buildImage('2', [...others, `${registry.host}/small:2`])
  // From here on nobody has a registry.
  await registry.stop()
  lab = await startLab(2)
})
afterAll(async () => {
  await lab[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

async function buildImage(number: string, names: readonly string[]): Promise<DeployImage> {
  const directory = at(`build-${number}`)
  await mkdir(join(directory, 'context/manifests'), { recursive: true })
  await writeFile(join(directory, 'Kubefile'), `FROM scratch\nBASE k3s@${version}\nCOPY . .\n`)
  await writeFile(join(directory, 'context/manifests/imageList'), names.map(name => `${name}\n`).join(''))
  const place = { home: at('cloudimg') }
  const flags = ['-f', join(directory, 'Kubefile'), '--mirror', `k3s=${at('release')}`, '-t', `cluster:${number}`]
  await cloudimgJson(['build', ...flags, '--platform', 'linux/amd64', join(directory, 'context')], place)
  const [store, ctx, ref] = [await openStore(storeOf(place)), testContext(), parseReference(`cluster:${number}`)]
  return await openDeployImage(store, ref, (await store.resolve(`cluster:${number}`, ctx))!, ctx)
}

function optionsOf(image = first): RunOptions {
  return {
    image,
    hosts: { servers: [lab.hosts[0]!.name], agents: [lab.hosts[1]!.name] },
    ssh: { configFile: lab.ssh.configFile },
    wishes: { allowStandIn: true },
    limits: { timeoutSeconds: 240 },
    stateHome: at('state'),
  }
}

const run = (): Promise<RunResult> => runCluster(optionsOf(), testContext())

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
