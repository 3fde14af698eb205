import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { applyCluster, type ApplyOptions, planApply } from '../../../src/deploy/actions/apply.ts'
import { deleteHosts } from '../../../src/deploy/actions/delete.ts'
import { planReset, resetCluster } from '../../../src/deploy/actions/reset.ts'
import { upgradeCluster } from '../../../src/deploy/actions/upgrade.ts'
import { runCluster } from '../../../src/deploy/actions/run.ts'
import { declaredCluster } from '../../../src/deploy/clusterfile/declared-cluster.ts'
import { declaredImage } from '../../../src/deploy/clusterfile/declared-image.ts'
import { parseClusterfile } from '../../../src/deploy/clusterfile/parse-clusterfile.ts'
import { stepsOf } from '../../../src/deploy/plan.ts'
import { sampleClusterImage, sampleImages, type SampleOptions } from '../../support/sample-cluster-image.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'

const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
let world: SimWorld
let operator: SimOperator

beforeEach(async () => {
  world = new SimWorld(names, sampleImages)
  operator = await makeSimOperator(world)
})
afterEach(() => operator[Symbol.asyncDispose]())

const hosts = `  hosts:
    - { addresses: [10.0.0.1], role: server }
    - { addresses: [10.0.0.2], role: agent, env: { ZONE: b } }
`

function optionsOf(spec: string, more: SampleOptions = {}): ApplyOptions {
  const text = `apiVersion: cloudimg.io/v1\nkind: Cluster\nspec:\n  image: k3s:v1.31.4\n${spec}`
  const { file } = parseClusterfile(text, 'f')
  const { ssh: _, ...declared } = declaredCluster(file, { directory: '/', env: {} })
  return {
    ...declared,
    image: declaredImage(sampleClusterImage(more), file.spec),
    stateHome: operator.stateHome,
    limits: { timeoutSeconds: 0.05 },
  }
}

async function apply(spec: string, more: SampleOptions = {}): ReturnType<typeof applyCluster> {
  return await applyCluster(optionsOf(spec, more), testContext(), operator.ends)
}

/** `HOST: hook WORDS`, in the order of time. */
function hooksRun(): readonly string[] {
  return world.order.filter(change => / (?:hook|launch) /.test(change))
}

describe('hooks', () => {
  const hooked = `${hosts}  env: { ZONE: a, QUOTED: "it's" }
  hooks:
    beforeInstall: [{ run: swapoff -a, on: agents }, date]
    afterInstall: [{ run: uptime, timeoutSeconds: 5 }]
    afterUp: [kubectl get pods -A, { run: hostname, on: all }]
`

  it('run each at its time, once on each host, with their variables in a file', async () => {
    await apply(hooked)
    expect(hooksRun()).toEqual([
      '10.0.0.1: hook date',
      '10.0.0.2: hook swapoff -a',
      '10.0.0.2: hook date',
      '10.0.0.1: hook uptime',
      '10.0.0.2: hook uptime',
      '10.0.0.1: hook hostname',
      '10.0.0.2: hook hostname',
      '10.0.0.1: launch kubectl get pods -A',
    ])
    const agent = world.hosts.get('10.0.0.2')!
    expect(agent.environments[0]).toBe(
      `export HostIP=10.0.0.2\nexport NodeName=node2\nexport NodeRole=agent\nexport Interface=eth0\nexport ClusterID=${world.clusterId()}\nexport ZONE=b\nexport QUOTED='it'\\''s'\n`,
    )
    expect(world.order.findIndex(change => change.includes('hook date'))).toBeLessThan(
      world.order.findIndex(change => change.includes(': init ')),
    )
    expect(await apply(hooked)).toMatchObject({ changed: false })
  })

  it('run anew where they say something else, but nothing is before a start that was', async () => {
    await apply(hooked)
    const before = hooksRun().length
    await apply(hooked.replace('uptime', 'uptime -p').replace('date]', 'date -u]'))
    expect(hooksRun().slice(before)).toEqual(['10.0.0.1: hook uptime -p', '10.0.0.2: hook uptime -p'])
    await apply(hooked.replace('uptime', 'uptime -p').replace('date]', 'date -u]').replace("it's", 'other'))
    expect(hooksRun().slice(before + 2)).toHaveLength(5)
  })

  it('keep what is declared out of plan, argv and journal', async () => {
    const spec = hooked.replace("it's", 'hunter2-hunter2')
    const { converge } = await planApply(optionsOf(spec), testContext(), operator.ends)
    expect(JSON.stringify(converge)).not.toContain('hunter2')
    const { journal } = await apply(spec)
    expect(await readFile(journal!, 'utf8')).not.toContain('hunter2')
    const argv = stepsOf(converge.plan).flatMap(step => step.do.map(op => (op.op === 'exec' ? op.argv.join(' ') : '')))
    expect(argv.join('\n')).toContain('swapoff')
    expect(argv.join('\n')).not.toContain('hunter2')
  })

  it('before an upgrade and before a host leaves are kept by the hosts, for commands without a file', async () => {
    const kept = `${hosts}  hooks: { beforeUpgrade: [{ run: sync, on: agents }], beforeReset: [umount /data] }\n`
    await apply(kept)
    expect(hooksRun()).toEqual([])
    expect(await apply(kept)).toMatchObject({ changed: false })
    const next = { files: { 'bin/k3s': 'k3s v1.31.5+k3s1' }, metadata: { version: 'v1.31.5+k3s1' } }
    const choice = { server: '10.0.0.1' }
    const reach = { stateHome: operator.stateHome, limits: { timeoutSeconds: 0.05 } }
    await upgradeCluster({ image: sampleClusterImage(next), choice, ...reach }, testContext(), operator.ends)
    expect(hooksRun()).toEqual(['10.0.0.2: hook timeout 600 sh -e -c sync </dev/null'])
    await deleteHosts({ choice, hosts: ['10.0.0.2'], ...reach }, testContext(), operator.ends)
    expect(hooksRun().at(-1)).toBe("10.0.0.2: hook timeout 600 sh -e -c 'umount /data' </dev/null")
    expect(hooksRun()).toHaveLength(2)
    await resetCluster({ choice, ...reach }, testContext(), operator.ends)
    expect(hooksRun().slice(2)).toEqual(["10.0.0.1: hook timeout 600 sh -e -c 'umount /data' </dev/null"])
    expect([...world.server().files.keys()].filter(path => path.includes('hooks'))).toEqual([])
  })

  it('that are declared no more are forgotten', async () => {
    await apply(`${hosts}  hooks: { beforeReset: [umount /data] }\n`)
    expect(await apply(hosts)).toMatchObject({ changed: true })
    const { plan } = await planReset({ choice: {}, stateHome: operator.stateHome }, testContext(), operator.ends)
    expect(stepsOf(plan).filter(step => step.id.startsWith('hook/'))).toEqual([])
  })
})

describe('templates of the rootfs', () => {
  const files = { 'etc/chrony/chrony.conf.tmpl': 'server {{ .NTP }}\n# {{- "{{" -}} of {{.NodeName}}\n' }
  const spec = `${hosts.replace('ZONE: b', 'NTP: 10.9.9.9')}  env: { NTP: ntp.example }\n`
  const target = '/etc/chrony/chrony.conf'

  it("are rendered with each host's own variables, and only where something changes", async () => {
    await apply(spec, { files })
    expect(world.server().text(target)).toBe('server ntp.example\n#{{of node1\n')
    expect(world.hosts.get('10.0.0.2')!.text(target)).toBe('server 10.9.9.9\n#{{of node2\n')
    expect(await apply(spec, { files })).toMatchObject({ changed: false })
    await apply(spec.replace('ntp.example', 'ntp2.example'), { files })
    expect(world.server().text(target)).toContain('ntp2.example')
    world.server().write(target, 'changed by hand')
    expect(await apply(spec, { files })).toMatchObject({ changed: true })
    expect(world.server().text(target)).toContain('server ntp.example')
  })

  it('keep what was there, and give it back with a reset', async () => {
    const host = world.server()
    host.write(target, 'theirs\n', 0o644)
    host.pristine.set(target, host.files.get(target)!)
    await apply(spec, { files })
    const reach = { stateHome: operator.stateHome, limits: { timeoutSeconds: 0.05 } }
    await resetCluster({ choice: { server: '10.0.0.1' }, ...reach }, testContext(), operator.ends)
    expect(host.text(target)).toBe('theirs\n')
  })

  it('that need what nobody says are refused, each once, before anything is changed', async () => {
    const broken = { ...files, 'etc/a.tmpl': 'x\n{{ if .A }}{{ .B }}', 'etc/rancher/k3s/config.yaml.tmpl': '' }
    const refused = apply(hosts, { files: broken })
    await expect(refused).rejects.toMatchObject({ data: { findings: 'template template template template' } })
    await expect(refused).rejects.toThrow('etc/a.tmpl:2: "{{ if .A }}" is none of')
    await expect(refused).rejects.toThrow('etc/a.tmpl:2: there is no variable "B"')
    await expect(refused).rejects.toThrow('etc/chrony/chrony.conf.tmpl:1: there is no variable "NTP"')
    await expect(refused).rejects.toThrow('"/etc/rancher/k3s/config.yaml" is written by cloudimg itself')
    expect(world.changes()).toEqual([])
    const plain = { image: sampleClusterImage({ files }), hosts: { servers: names.slice(0, 1), agents: [] } }
    const without = runCluster({ ...plain, stateHome: operator.stateHome }, testContext(), operator.ends)
    await expect(without).rejects.toThrow('there is no variable "NTP"')
  })

  it('that are no texts are refused', async () => {
    await expect(apply(spec, { files: { 'etc/a.tmpl': '\0' } })).rejects.toMatchObject({ code: 'IMAGE_INVALID' })
  })
})
