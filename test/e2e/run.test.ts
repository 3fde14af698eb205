import { createReadStream, existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Context, Event } from '../../src/core/context.ts'
import { planCluster, runCluster, type RunResult } from '../../src/deploy/actions/run.ts'
import { parseJournal } from '../../src/deploy/journal.ts'
import type { RunOptions } from '../../src/deploy/options.ts'
import { stepsOf } from '../../src/deploy/plan.ts'
import { type Lab, type LabHost, pingOut, startLab } from '../support/lab.ts'
import { releaseImage, type ReleaseImage, variantOf } from '../support/release-image.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { testContext } from '../support/test-context.ts'

let scratch: Scratch
let release: ReleaseImage
beforeAll(async () => {
  scratch = await makeScratch()
  release = await releaseImage(scratch.path)
})
afterAll(() => scratch[Symbol.asyncDispose]())

function optionsOf(lab: Lab, more: Partial<RunOptions> = {}): RunOptions {
  const [server, ...agents] = lab.hosts.map(host => host.name)
  return {
    image: release.image,
    hosts: { servers: [server!], agents },
    ssh: { configFile: lab.ssh.configFile },
    wishes: { allowStandIn: release.standIn },
    limits: { timeoutSeconds: 240 },
    stateHome: join(scratch.path, `state-${lab.prefix}`),
    ...more,
  }
}

async function run(lab: Lab, more: Partial<RunOptions> = {}): Promise<RunResult> {
  return await runCluster(optionsOf(lab, more), testContext())
}

async function readyNodes(server: LabHost): Promise<readonly string[]> {
  const text = await server.must('/usr/local/bin/k3s kubectl get nodes --no-headers')
  return text
    .split('\n')
    .map(line => line.split(/\s+/).slice(0, 2).join(' '))
    .sort((a, b) => (a < b ? -1 : 1))
}

/** Everything on the host that a second run might touch: content, mode, owner and time of change. */
async function fingerprint(host: LabHost): Promise<string> {
  const places = '/etc /usr/local/bin /var/lib/cloudimg /var/lib/rancher/k3s/agent/images'
  return await host.must(`find ${places} -xdev -printf '%p %m %u %s %C@\\n' | sort`)
}

/** Calls back when a step of that sentence begins on some host. */
function onStart(ctx: Context, sentence: string, then: () => void): Context {
  const events = (event: Event): void => {
    if (event.kind === 'host' && event.outcome === 'start' && event.sentence.startsWith(sentence)) then()
    ctx.events(event)
  }
  return { ...ctx, events }
}

describe('a server and an agent without a way out, over ssh', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await startLab(2)
  })
  afterAll(() => lab[Symbol.asyncDispose]())

  it('are looked at and planned, and nothing is changed', async () => {
    for (const host of lab.hosts) expect(await pingOut(host)).not.toBe('')
    const before = await Promise.all(lab.hosts.map(fingerprint))
    const { plan, pending } = await planCluster(optionsOf(lab), testContext())
    expect(pending).toEqual(stepsOf(plan).map(step => step.id))
    expect(plan.findings.map(finding => finding.id)).toEqual(expect.arrayContaining(['default-route']))
    expect(await Promise.all(lab.hosts.map(fingerprint))).toEqual(before)
  })

  it('become a cluster', async () => {
    const result = await run(lab)
    expect(result).toMatchObject({ changed: true, version: release.version })
    expect(await readyNodes(lab.hosts[0]!)).toEqual(['node1 Ready', 'node2 Ready'])
    const kubeconfig = await readFile(result.kubeconfig, 'utf8')
    expect(kubeconfig).toContain(`server: https://${lab.hosts[0]!.ip}:6443`)
    expect((await stat(result.kubeconfig)).mode & 0o777).toBe(0o600)
  })

  it('leave no token where it does not belong', async () => {
    const [server] = lab.hosts
    const config = await server!.must('cat /etc/rancher/k3s/config.yaml')
    expect(await server!.must('stat -c %a /etc/rancher/k3s/config.yaml')).toBe('600')
    const tokens = [...config.matchAll(/token: "([0-9a-f]{64})"/g)].map(match => match[1]!)
    expect(tokens).toHaveLength(2)
    for (const host of lab.hosts)
      for (const token of tokens) {
        const places = '/var/lib/cloudimg /etc/systemd /run/cloudimg-deploy'
        const files = `grep -rl ${token} ${places} 2>/dev/null || true`
        expect(await host.must(files)).toBe('')
        expect(await host.must(`journalctl --no-pager | grep -c ${token} || true`)).toBe('0')
      }
  })

  it('are changed in nothing by the same command', async () => {
    const before = await Promise.all(lab.hosts.map(fingerprint))
    expect(await run(lab)).toMatchObject({ changed: false })
    expect(await Promise.all(lab.hosts.map(fingerprint))).toEqual(before)
    const { pending } = await planCluster(optionsOf(lab), testContext())
    expect(pending).toEqual([])
  })

  it('get the default route that --fix asks for, and keep it over a power cut', async () => {
    expect(await run(lab, { fixes: ['default-route'] })).toMatchObject({ changed: true })
    await lab.hosts[1]!.off()
    await lab.hosts[1]!.on()
    expect(await lab.hosts[1]!.must('ip route show default')).toContain('via 203.0.113.255 dev cloudimg0')
    expect(await run(lab, { fixes: ['default-route'] })).toMatchObject({ changed: false })
  })

  it('start again what was stopped', async () => {
    await lab.hosts[1]!.must('systemctl stop k3s-agent')
    const result = await run(lab)
    expect(result.hosts.map(host => host.changed)).toEqual([false, true])
  })

  it('refuse another image', async () => {
    const image = await variantOf(release, join(scratch.path, 'variant'), {
      'images/k3s-images.txt': 'docker.io/rancher/other:1\n',
    })
    await expect(run(lab, { image })).rejects.toMatchObject({ code: 'HOST_UNSUITABLE' })
  })
})

describe('a run that is cut off', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await startLab(1)
  })
  afterAll(() => lab[Symbol.asyncDispose]())

  it('by a power cut while files are sent: the same command finishes it', async () => {
    await cutPowerAt(lab, 'send bin/k3s')
    expect(await lab.hosts[0]!.exec(['test', '-e', '/usr/local/bin/k3s'])).toMatchObject({ code: 1 })
  })

  it('by the operator while k3s comes up: the same command attaches to what goes on', async () => {
    const operator = testContext()
    const ctx = onStart(operator, 'start k3s', () => void setTimeout(() => operator.abort(), 1500))
    await expect(runCluster(optionsOf(lab), ctx)).rejects.toMatchObject({ code: 'CANCELLED', data: { changed: true } })
    const result = await run(lab)
    expect(await readyNodes(lab.hosts[0]!)).toEqual(['node1 Ready'])
    const lines = parseJournal(await readFile(result.journal!, 'utf8'))
    expect(new Set(lines.map(line => line.op)).size).toBe(1)
    expect(lines.at(-1)?.event).toBe('end')
    expect(await run(lab)).toMatchObject({ changed: false })
  })

  /** Pulls the plug when the step begins, sees the run fail, and puts the plug back. */
  async function cutPowerAt(lab: Lab, sentence: string): Promise<void> {
    const [host] = lab.hosts
    let cut: Promise<void> | undefined
    const ctx = onStart(testContext(), sentence, () => void (cut = host!.off()))
    await expect(runCluster(optionsOf(lab), ctx)).rejects.toMatchObject({
      code: 'PHASE_FAILED',
      data: { changed: true, code: 'HOST_UNREACHABLE' },
    })
    expect(cut, `a step "${sentence}…" began`).toBeDefined()
    await cut
    await host!.on()
  }
})

it('outlives a power cut of the host while k3s comes up', async () => {
  await using lab = await startLab(1)
  const [host] = lab.hosts
  let cut: Promise<void> | undefined
  const powerCut = async (): Promise<void> => {
    await new Promise(resolve => void setTimeout(resolve, 1500))
    await host!.off()
    await host!.on()
  }
  const ctx = onStart(testContext(), 'start k3s', () => void (cut = powerCut()))
  expect(await runCluster(optionsOf(lab), ctx)).toMatchObject({ changed: true })
  await cut
  expect(await readyNodes(host!)).toEqual(['node1 Ready'])
  expect(await run(lab)).toMatchObject({ changed: false })
})

it('refuses a host that nobody answers on, before anything else', async () => {
  const stateHome = join(scratch.path, 'nobody')
  const failing = runCluster(
    { image: release.image, hosts: { servers: ['127.0.0.1:9'], agents: [] }, stateHome },
    testContext(),
  )
  await expect(failing).rejects.toMatchObject({ code: 'HOST_UNREACHABLE' })
  expect(existsSync(stateHome)).toBe(false)
})

it('makes the machine it runs on a server, as a user with sudo', async () => {
  await using lab = await startLab(1)
  const [host] = lab.hosts
  const program = join(scratch.path, 'run-here.mjs')
  const entry = join(import.meta.dirname, '../support/run-here.ts')
  const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"
  await build({
    entryPoints: [entry],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: { js: banner },
  })
  await host!.put('/opt/run-here.mjs', createReadStream(program))
  for (const file of await release.image.platforms[0]!.listRootfs(testContext()))
    if (file.type === 'file')
      await host!.put(`/opt/image/${file.path}`, await file.open(testContext()), file.mode.toString(8))
  const here = `sudo -u cloud node /opt/run-here.mjs /opt/image /home/cloud/state ${release.standIn}`
  const first = JSON.parse(await host!.must(here, { timeoutMs: 240_000 })) as RunResult
  expect(first).toMatchObject({ changed: true, hosts: [{ host: 'localhost', role: 'server', address: host!.ip }] })
  expect(await host!.must(['stat', '-c', '%U %a', first.kubeconfig])).toBe('cloud 600')
  expect(JSON.parse(await host!.must(here))).toMatchObject({ changed: false })
})

it('runs on this machine only where it may', async () => {
  const systemd = existsSync('/run/systemd/system')
  const { plan } = await planCluster({ image: release.image, stateHome: join(scratch.path, 'here') }, testContext())
  expect(plan.nodes).toHaveLength(1)
  expect(plan.findings.some(finding => finding.id === 'init')).toBe(!systemd)
})
