import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/command.ts'
import {
  agentConfig,
  configFile,
  findRelease,
  imagesDir,
  imagesOf,
  installScript,
  journalOf,
  namesOn,
  placeRelease,
  serverConfig,
  serverToken,
  untilReadyIs,
  type Bench,
} from '../support/k3s-conformance/bench.ts'
import type { Faults } from '../support/k3s-standin/faults.ts'
import { startLab, type Lab, type LabHost } from '../support/lab.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { makeStandinRelease } from '../support/standin-release.ts'

const version = 'v1.31.4+k3s1'

// What deployment tests lean on when they make k3s fail: each fault does what its name says, and is over when its count is used up.
describe('the faults of the stand-in', () => {
  let scratch: Scratch
  let lab: Lab
  let bench: Bench

  beforeAll(async () => {
    scratch = await makeScratch()
    await makeStandinRelease(scratch.path, { tag: version, arches: ['amd64'] })
    const release = await findRelease(scratch.path)
    lab = await startLab(2)
    const [server, agent] = [lab.host('node1'), lab.host('node2')]
    bench = { version, isStandin: true, release, images: await imagesOf(release), server, agent, noexec: agent }
    for (const host of lab.hosts) await placeRelease(bench, host, true)
    await server.put(configFile, serverConfig(bench), '600')
    await agent.put(configFile, agentConfig(bench, serverToken), '600')
    await server.must(installScript('server'))
    await agent.must(installScript('agent'))
  })
  afterAll(async () => {
    await lab[Symbol.asyncDispose]()
    await scratch[Symbol.asyncDispose]()
  })

  beforeEach(async () => {
    for (const { host, unit } of units()) {
      await host.must(`systemctl stop ${unit}; systemctl reset-failed ${unit} 2>/dev/null || true`)
      await host.must(
        `rm -rf /var/lib/rancher/k3s/server /var/lib/rancher/k3s/agent/containerd /var/lib/cloudimg-standin-faults*`,
      )
      await host.must('rm -rf /etc/rancher/node')
    }
  })

  function units(): readonly { readonly host: LabHost; readonly unit: string }[] {
    return [
      { host: bench.server, unit: 'k3s' },
      { host: bench.agent, unit: 'k3s-agent' },
    ]
  }

  async function startWith(host: LabHost, unit: string, faults: Faults): Promise<void> {
    await host.put('/var/lib/cloudimg-standin-faults.json', JSON.stringify(faults))
    await host.must(`systemctl start --no-block ${unit}`)
  }

  async function restartsOf(host: LabHost, unit: string): Promise<number> {
    return Number(await host.must(`systemctl show ${unit} -p NRestarts --value`))
  }

  it('exitAtImport: k3s ends in the middle, systemd starts it again, the second time it goes through', async () => {
    await startWith(bench.server, 'k3s', { exitAtImport: 1 })
    await eventually('a restart', 20_000, async () => ((await restartsOf(bench.server, 'k3s')) > 0 ? true : undefined))
    await untilReadyIs(bench, bench.server, 'True')
    expect(await restartsOf(bench.server, 'k3s')).toBe(1)
    expect(await namesOn(bench.server)).toEqual(expect.arrayContaining([...bench.images]))
  })

  it('hangAtNotify: the node is Ready, the unit is activating for ever', async () => {
    await startWith(bench.server, 'k3s', { hangAtNotify: true })
    await untilReadyIs(bench, bench.server, 'True')
    expect((await bench.server.exec('systemctl is-active k3s')).stdout.trim()).toBe('activating')
  })

  it('slowImportMs: the node is registered only after the import', async () => {
    await startWith(bench.server, 'k3s', { slowImportMs: 2500 })
    const began = Date.now()
    await untilReadyIs(bench, bench.server, 'True')
    expect(Date.now() - began).toBeGreaterThan(2500)
    expect(await journalOf(bench.server, 'k3s')).toMatch(/Imported images from \S+ in (?:2[5-9]|[3-9]\d)\d\dms/)
  })

  it('killAtJoin: the agent was let in, is killed, and joins at the next start', async () => {
    await startWith(bench.server, 'k3s', {})
    await untilReadyIs(bench, bench.server, 'True')
    await startWith(bench.agent, 'k3s-agent', { killAtJoin: 1 })
    await untilReadyIs(bench, bench.agent, 'True')
    expect(await restartsOf(bench.agent, 'k3s-agent')).toBe(1)
    expect(await bench.agent.must('journalctl -u k3s-agent -o cat --no-pager')).toMatch(/status=9\/KILL/)
  })

  it('readyFlapping: Ready, not Ready, Ready', async () => {
    await startWith(bench.server, 'k3s', { readyFlapping: 1 })
    for (const status of ['True', 'False', 'True'] as const) await untilReadyIs(bench, bench.server, status)
    expect(await bench.server.must('k3s kubectl get nodes --no-headers')).toMatch(/ Ready /)
  })

  it('a misspelt fault ends k3s, so that no test is green by mistake', async () => {
    await bench.server.put('/var/lib/cloudimg-standin-faults.json', '{"exitAtImprot":true}')
    const { code, stdout } = await bench.server.exec('timeout 20 k3s server 2>&1')
    expect(code).toBe(1)
    expect(stdout).toContain('there is no fault \\"exitAtImprot\\"')
  })

  it('a power cut at any moment of the first start leaves what the next start repairs', async () => {
    for (const moment of [0.3, 0.7, 1.1, 1.6]) {
      await bench.server.must(`systemctl start --no-block k3s; sleep ${moment}`)
      await bench.server.off()
      await bench.server.on()
      await untilReadyIs(bench, bench.server, 'True')
      expect(await namesOn(bench.server)).toEqual(expect.arrayContaining([...bench.images]))
      await bench.server.must(`systemctl stop k3s; rm -rf /var/lib/rancher/k3s/[b-z]* ; ls ${imagesDir}`)
    }
  })
})
