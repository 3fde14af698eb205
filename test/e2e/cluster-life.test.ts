import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { clerkPassword } from '../../scripts/lab/root-tree-recipe.ts'
import type { Context } from '../../src/core/context.ts'
import { checkCertificates, renewCertificates } from '../../src/deploy/actions/certificates.ts'
import { collectSupport } from '../../src/deploy/actions/collect.ts'
import { deleteHosts } from '../../src/deploy/actions/delete.ts'
import { importImages, planImport } from '../../src/deploy/actions/import.ts'
import { joinHosts } from '../../src/deploy/actions/join.ts'
import { replaceHost } from '../../src/deploy/actions/replace.ts'
import { resetCluster } from '../../src/deploy/actions/reset.ts'
import { runCluster, type RunResult } from '../../src/deploy/actions/run.ts'
import { clusterStatus } from '../../src/deploy/actions/status.ts'
import { planUpgrade, upgradeCluster } from '../../src/deploy/actions/upgrade.ts'
import { type Ends, realEnds } from '../../src/deploy/ends.ts'
import type { ReachOptions } from '../../src/deploy/options.ts'
import { formatPlan } from '../../src/deploy/plan-text.ts'
import { renewalOf } from '../../src/runtime/k3s/renew.ts'
import { fingerprintOf, type HostFingerprint, unexcusedDifferences } from '../support/host-fingerprint.ts'
import { type Lab, type LabHost, startLab } from '../support/lab.ts'
import { ProcessWatch } from '../support/process-watch.ts'
import { nextReleaseImage, releaseImage, type ReleaseImage } from '../support/release-image.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { filesWith, journalWith, linesWith, ownFilesWith, secretsOf } from '../support/secret-search.ts'
import { testContext } from '../support/test-context.ts'
import { unpackBundle } from '../support/unpack-bundle.ts'

// With K3S_REAL_DIR=…/v1.21.1+k3s1 and K3S_REAL_UPGRADE_DIR=…/v1.21.2+k3s1 the same is done with a real k3s, at its own pace.

/** Large enough to travel as a file of its own, small enough for five hosts. */
const size = 8 * 1024 * 1024

let scratch: Scratch
let lab: Lab
let release: ReleaseImage
let ends: Ends
let before: readonly HostFingerprint[]
let watch: ProcessWatch
/** All that cloudimg said: events, plans, answers. */
const said: string[] = []
const started = Math.floor(Date.now() / 1000)
beforeAll(async () => {
  watch = new ProcessWatch()
  scratch = await makeScratch()
  release = await releaseImage(join(scratch.path, 'first'), undefined, size)
  ends = release.standIn ? { ...realEnds, pollMs: 500, settling: 0.03 } : realEnds
  lab = await startLab(5)
  before = await Promise.all(lab.hosts.map(fingerprintOf))
})
afterAll(async () => {
  await watch.stop()
  await lab?.[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

function reach(): ReachOptions {
  return {
    // One of the hosts is reached as a user whom sudo asks for a password.
    ssh: { configFile: lab.ssh.configFile, sudoPassword: clerkPassword },
    wishes: { allowStandIn: release.standIn },
    limits: { timeoutSeconds: 300 },
    stateHome: join(scratch.path, 'state'),
  }
}

const servers = ['node1', 'node2', 'node3']
const agents = ['node4', 'node5']
const reached = ['node4', 'clerk@node5']

/** A context that keeps what is said to it. */
function listening(): Context {
  const ctx = testContext()
  return { ...ctx, events: event => void said.push(JSON.stringify(event)) }
}

async function run(image = release.image): Promise<RunResult> {
  return await runCluster({ image, hosts: { servers, agents: reached }, ...reach() }, listening(), ends)
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

const operatorFiles = [/^600 c-[0-9a-f]+\/kubeconfig$/, /^600 c-[0-9a-f]+\/snapshots\/.*\/(?:token|datastore)$/]

/** Where secrets belong, on a host. */
const hostFiles = [
  /^600 root \/etc\/rancher\/k3s\/(?:config|k3s)\.yaml$/,
  /^600 root \/etc\/rancher\/node\/password$/,
  /^600 root \/var\/lib\/rancher\/k3s\/server\/(?:token|agent-token)$/,
  /^600 root \/var\/lib\/rancher\/k3s\/server\/(?:db|cred)\//,
  /^600 root \/var\/lib\/rancher\/k3s\/server\/tls(?:-\d+)?\/.*\.key$/,
  /^600 root \/var\/lib\/cloudimg\/backup\/[^/]+\/config\.yaml$/,
]

function isMeant(file: string, meant: readonly RegExp[]): boolean {
  return meant.some(pattern => pattern.test(file))
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
    expect(await deleteHosts({ choice: {}, hosts: ['node5'], ...reach() }, listening(), ends)).toMatchObject({
      changed: true,
    })
    expect(await nodes(lab.host('node1'))).toEqual(allReady([...servers, 'node4']))
    expect(await lab.host('node5').exec('test -e /usr/local/bin/k3s')).toMatchObject({ code: 1 })
    const hosts = { servers: [], agents: ['clerk@node5'] }
    const joined = await joinHosts(
      { image: release.image, choice: { server: 'node2' }, hosts, ...reach() },
      listening(),
      ends,
    )
    expect(joined).toMatchObject({ changed: true })
    expect(await nodes(lab.host('node1'))).toEqual(allReady([...servers, ...agents]))
  })

  it('do without the first server, and take it back', async () => {
    expect(await deleteHosts({ choice: {}, hosts: ['node1'], ...reach() }, listening(), ends)).toMatchObject({
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
    expect(await replaceHost(options, listening(), ends)).toMatchObject({ changed: true })
    expect(await nodes(lab.host('node3'))).toEqual(allReady([...servers, ...agents]))
    expect(await run()).toMatchObject({ changed: false })
  })

  it('are upgraded one after the other', async () => {
    const next = await nextReleaseImage(join(scratch.path, 'next'), size)
    const options = { image: next.image, choice: {}, ...reach() }
    const plan = await planUpgrade(options, listening(), ends)
    said.push(JSON.stringify(plan), formatPlan(plan.plan, plan.pending))
    const result = await upgradeCluster(options, listening(), ends)
    expect(result).toMatchObject({ changed: true, version: next.version })
    expect(await nodes(lab.host('node1'))).toEqual(allReady([...servers, ...agents], next.version))
    const kept = join(scratch.path, 'state', result.cluster, 'snapshots', result.op!, 'before-upgrade')
    expect((await readFile(join(kept, 'token'), 'utf8')).startsWith('K10')).toBe(true)
    expect((await readFile(join(kept, 'datastore'))).length).toBeGreaterThan(100)
    expect(await upgradeCluster(options, listening(), ends)).toMatchObject({ changed: false })
  })

  it('get the images back that one of them lost', async () => {
    const image = await lab.host('node2').must('head -n 1 /var/lib/cloudimg/current/images/k3s-images.txt')
    await lab.host('node2').must(['k3s', 'ctr', '-n', 'k8s.io', 'images', 'rm', image])
    const { pending } = await planImport({ choice: {}, ...reach() }, listening(), ends)
    expect(pending).toEqual(['images/node2'])
    expect((await clusterStatus({ choice: {}, ...reach() }, listening(), ends)).ok).toBe(false)
    expect(await importImages({ choice: {}, ...reach() }, listening(), ends)).toMatchObject({ changed: true })
    expect(await importImages({ choice: {}, ...reach() }, listening(), ends)).toMatchObject({ changed: false })
  })

  it('get new certificates, and the operator a new kubeconfig', async () => {
    const check = () => checkCertificates({ choice: {}, days: 90, ...reach() }, listening(), ends)
    const states = await check()
    expect(states).toMatchObject({ ok: true })
    const serial = 'sha256sum /var/lib/rancher/k3s/agent/client-kubelet.crt'
    const old = await Promise.all(lab.hosts.map(host => host.must(serial)))
    expect(await renewCertificates({ choice: {}, ...reach() }, listening(), ends)).toMatchObject({ changed: false })
    const options = { choice: {}, ...reach(), wishes: { ...reach().wishes, rotate: true } }
    // v1.21 has no command for it.
    if (!renewalOf(release.version).canRotate) return
    const { kubeconfig } = await renewCertificates(options, listening(), ends)
    const now = await Promise.all(lab.hosts.map(host => host.must(serial)))
    for (const [index, sum] of now.entries()) expect(sum).not.toBe(old[index])
    const key = /client-key-data: (\S+)/
    // Each server has its own; the operator's is that of the server that was asked.
    const texts = await Promise.all(servers.map(name => lab.host(name).must('cat /etc/rancher/k3s/k3s.yaml')))
    expect(texts.map(text => key.exec(text)?.[1])).toContain(key.exec(await readFile(kubeconfig!, 'utf8'))?.[1])
    expect(await check()).toMatchObject({ ok: true })
  })

  it('are as declared until somebody changes something', async () => {
    const status = async () => await clusterStatus({ choice: {}, ...reach() }, listening(), ends)
    expect(await status()).toMatchObject({ ok: true, voters: { healthy: 3, all: 3 }, troubles: [] })
    const config = '/etc/rancher/k3s/config.yaml'
    await lab.host('node4').must(`cp -p ${config} /root/config; echo '# mine' >> ${config}`)
    const { ok, nodes: seen } = await status()
    expect(ok).toBe(false)
    expect(seen.flatMap(node => node.troubles)).toEqual([`changed by others: ${config}`])
    await lab.host('node4').must(`mv /root/config ${config}`)
    expect(await status()).toMatchObject({ ok: true })
  })

  it('keep their secrets to the files that are meant for them', async () => {
    const secrets = [
      ...(await secretsOf(
        servers.map(name => lab.host(name)),
        lab.hosts,
      )),
      clerkPassword,
    ]
    const leaks = async (): Promise<readonly string[]> => {
      const told = [...linesWith(said.join('\n'), secrets), ...watch.holding(secrets)]
      const own = (await ownFilesWith(join(scratch.path, 'state'), secrets)).filter(
        file => !isMeant(file, operatorFiles),
      )
      const onHosts = await Promise.all(
        lab.hosts.map(async host => {
          const files = (await filesWith(host, secrets, started)).filter(file => !isMeant(file, hostFiles))
          return [...files, ...(await journalWith(host, secrets))].map(text => `${host.name}: ${text}`)
        }),
      )
      return [...told, ...own, ...onHosts.flat()]
    }
    expect(await leaks()).toEqual([])
    expect(watch.size).toBeGreaterThan(100)

    // That the search can find something: a secret in a file, in a journal and in a program's arguments.
    const [token] = secrets
    const host = lab.host('node4')
    await host.put('/etc/leak', `x ${token}\n`, '644')
    await host.must([
      'systemd-run',
      '--quiet',
      '--wait',
      '--unit=cloudimg-leak',
      'sh',
      '-c',
      `echo "odd words: ${token}"; sleep 1`,
    ])
    await writeFile(join(scratch.path, 'state', 'leak'), token!, { mode: 0o600 })
    const found = await leaks()
    await host.must('rm /etc/leak')
    for (const wanted of [
      /^node4: 644 root \/etc\/leak$/,
      /^node4: odd words: …$/,
      /^\/usr\/bin\/sh -c echo "odd words: …"/,
      /^600 leak$/,
    ])
      expect(found).toContainEqual(expect.stringMatching(wanted))

    const output = join(scratch.path, 'support.tar.zst')
    const { hosts } = await collectSupport({ choice: {}, output, since: '2h', ...reach() }, listening(), ends)
    const bundle = await unpackBundle(output)
    expect(bundle.get('hosts/node4/journal/cloudimg.txt')).toContain('odd words: [redacted]')
    for (const [path, text] of bundle) expect(linesWith(text, secrets), path).toEqual([])
    for (const { name, parts } of hosts) {
      // The rest is for programs that a machine, or the stand-in, may not have.
      const lacking = parts.filter(part => part.code !== 0).map(part => part.path)
      expect({ name, lacking: lacking.filter(path => /^(?:journal|cloudimg|config|system)/.test(path)) }).toEqual({
        name,
        lacking: [],
      })
    }
  })

  it('are what they were before, after a reset', async () => {
    expect(await resetCluster({ choice: {}, ...reach() }, listening(), ends)).toMatchObject({ changed: true })
    const after = await Promise.all(lab.hosts.map(fingerprintOf))
    for (const [index, host] of lab.hosts.entries())
      expect({ host: host.name, ...(await unexcusedDifferences(before[index]!, after[index]!)) }).toEqual({
        host: host.name,
        gone: [],
        new: [],
      })
  })
})
