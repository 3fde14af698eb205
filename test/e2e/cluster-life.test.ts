import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deleteHosts } from '../../src/deploy/actions/delete.ts'
import { joinHosts } from '../../src/deploy/actions/join.ts'
import { replaceHost } from '../../src/deploy/actions/replace.ts'
import { resetCluster } from '../../src/deploy/actions/reset.ts'
import { runCluster, type RunResult } from '../../src/deploy/actions/run.ts'
import { upgradeCluster } from '../../src/deploy/actions/upgrade.ts'
import { type Ends, realEnds } from '../../src/deploy/ends.ts'
import type { ReachOptions } from '../../src/deploy/options.ts'
import { fingerprintOf, type HostFingerprint, unexcusedDifferences } from '../support/host-fingerprint.ts'
import { type Lab, type LabHost, startLab } from '../support/lab.ts'
import { nextReleaseImage, releaseImage, type ReleaseImage } from '../support/release-image.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { testContext } from '../support/test-context.ts'

// With K3S_REAL_DIR=…/v1.21.1+k3s1 and K3S_REAL_UPGRADE_DIR=…/v1.21.2+k3s1 the same is done with a real k3s, at its own pace.

/** Large enough to travel as a file of its own, small enough for five hosts. */
const size = 8 * 1024 * 1024

let scratch: Scratch
let lab: Lab
let release: ReleaseImage
let ends: Ends
let before: readonly HostFingerprint[]
beforeAll(async () => {
  scratch = await makeScratch()
  release = await releaseImage(join(scratch.path, 'first'), undefined, size)
  ends = release.standIn ? { ...realEnds, pollMs: 500, settling: 0.03 } : realEnds
  lab = await startLab(5)
  before = await Promise.all(lab.hosts.map(fingerprintOf))
})
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

function reach(): ReachOptions {
  return {
    ssh: { configFile: lab.ssh.configFile },
    wishes: { allowStandIn: release.standIn },
    limits: { timeoutSeconds: 300 },
    stateHome: join(scratch.path, 'state'),
  }
}

const servers = ['node1', 'node2', 'node3']
const agents = ['node4', 'node5']

async function run(image = release.image): Promise<RunResult> {
  return await runCluster({ image, hosts: { servers, agents }, ...reach() }, testContext(), ends)
}

/** As a server sees them: `node1 Ready v1.31.4+k3s1`. */
async function nodes(from: LabHost): Promise<readonly string[]> {
  const text = await from.must('HOME=/run/test /usr/local/bin/k3s kubectl get nodes --no-headers')
  const words = text.split('\n').map(line => line.split(/\s+/))
  return words.map(([name, status, , , version]) => `${name} ${status} ${version}`).toSorted()
}

function allReady(names: readonly string[], version = release.version): readonly string[] {
  return names.map(name => `${name} Ready ${version}`)
}

async function fingerprint(host: LabHost): Promise<string> {
  const places = '/etc /usr/local/bin /var/lib/cloudimg /var/lib/rancher/k3s/agent/images'
  return await host.must(
    `find ${places} -xdev -path /var/lib/cloudimg/journal -prune -o -printf '%p %m %u %s %C@\\n' | sort`,
  )
}

describe('three servers and two agents without a way out', { timeout: 1_200_000 }, () => {
  it('become a cluster in one run, and the second run changes nothing', async () => {
    expect(await run()).toMatchObject({ changed: true, version: release.version })
    expect(await nodes(lab.host('node1'))).toEqual(allReady([...servers, ...agents]))
    const etcd = 'HOME=/run/test k3s kubectl get nodes -l node-role.kubernetes.io/etcd=true -o name'
    expect((await lab.host('node3').must(etcd)).split('\n')).toHaveLength(3)
    const seen = await Promise.all(lab.hosts.map(fingerprint))
    expect(await run()).toMatchObject({ changed: false })
    expect(await Promise.all(lab.hosts.map(fingerprint))).toEqual(seen)
  })

  it('let an agent go, and take it back', async () => {
    expect(await deleteHosts({ choice: {}, hosts: ['node5'], ...reach() }, testContext(), ends)).toMatchObject({
      changed: true,
    })
    expect(await nodes(lab.host('node1'))).toEqual(allReady([...servers, 'node4']))
    expect(await lab.host('node5').exec('test -e /usr/local/bin/k3s')).toMatchObject({ code: 1 })
    const hosts = { servers: [], agents: ['node5'] }
    const joined = await joinHosts(
      { image: release.image, choice: { server: 'node2' }, hosts, ...reach() },
      testContext(),
      ends,
    )
    expect(joined).toMatchObject({ changed: true })
    expect(await nodes(lab.host('node1'))).toEqual(allReady([...servers, ...agents]))
  })

  it('do without the first server, and take it back', async () => {
    expect(await deleteHosts({ choice: {}, hosts: ['node1'], ...reach() }, testContext(), ends)).toMatchObject({
      changed: true,
    })
    expect(await nodes(lab.host('node2'))).toEqual(allReady(['node2', 'node3', ...agents]))
    for (const name of ['node3', ...agents])
      expect(await lab.host(name).must('grep ^server: /etc/rancher/k3s/config.yaml')).toContain(lab.host('node2').ip)
    expect(await run()).toMatchObject({ changed: true })
    expect(await nodes(lab.host('node1'))).toEqual(allReady([...servers, ...agents]))
  })

  it('take a host back that was imaged anew', async () => {
    const host = lab.host('node3')
    await host.must('sh /var/lib/cloudimg/current/scripts/cloudimg-node reset >/dev/null 2>&1')
    const options = { image: release.image, choice: { server: 'node2' }, host: 'node3', ...reach() }
    expect(await replaceHost(options, testContext(), ends)).toMatchObject({ changed: true })
    expect(await nodes(lab.host('node3'))).toEqual(allReady([...servers, ...agents]))
    expect(await run()).toMatchObject({ changed: false })
  })

  it('are upgraded one after the other', async () => {
    const next = await nextReleaseImage(join(scratch.path, 'next'), size)
    const options = { image: next.image, choice: {}, ...reach() }
    const result = await upgradeCluster(options, testContext(), ends)
    expect(result).toMatchObject({ changed: true, version: next.version })
    expect(await nodes(lab.host('node1'))).toEqual(allReady([...servers, ...agents], next.version))
    const kept = join(scratch.path, 'state', result.cluster, 'snapshots', result.op!, 'before-upgrade')
    expect((await readFile(join(kept, 'token'), 'utf8')).startsWith('K10')).toBe(true)
    expect((await readFile(join(kept, 'datastore'))).length).toBeGreaterThan(100)
    expect(await upgradeCluster(options, testContext(), ends)).toMatchObject({ changed: false })
  })

  it('are what they were before, after a reset', async () => {
    expect(await resetCluster({ choice: {}, ...reach() }, testContext(), ends)).toMatchObject({ changed: true })
    const after = await Promise.all(lab.hosts.map(fingerprintOf))
    for (const [index, host] of lab.hosts.entries())
      expect({ host: host.name, ...(await unexcusedDifferences(before[index]!, after[index]!)) }).toEqual({
        host: host.name,
        gone: [],
        new: [],
      })
  })
})
