import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { applyCluster, type ApplyOptions, planApply } from '../../src/deploy/actions/apply.ts'
import { resetCluster } from '../../src/deploy/actions/reset.ts'
import { declaredCluster, reachAsDeclared } from '../../src/deploy/clusterfile/declared-cluster.ts'
import { declaredImage } from '../../src/deploy/clusterfile/declared-image.ts'
import { parseClusterfile } from '../../src/deploy/clusterfile/parse-clusterfile.ts'
import type { DeployImage } from '../../src/deploy/deploy-image.ts'
import type { Ends } from '../../src/deploy/ends.ts'
import { realEnds } from '../../src/deploy/ends.ts'
import { directoryImage } from '../support/directory-image.ts'
import { type Lab, startLab } from '../support/lab.ts'
import { releaseImage, type ReleaseImage } from '../support/release-image.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { testContext } from '../support/test-context.ts'

/** Large enough to travel as a file of its own. */
const size = 8 * 1024 * 1024

let scratch: Scratch
let image: DeployImage
let calm: Ends
let release: ReleaseImage
let lab: Lab
beforeAll(async () => {
  scratch = await makeScratch()
  release = await releaseImage(scratch.path, undefined, size)
  await mkdir(join(release.directory, 'etc'))
  await writeFile(join(release.directory, 'etc/motd.tmpl'), 'welcome to the {{ .PLACE }}, {{ .NodeName }}\n')
  image = await directoryImage(release.directory)
  calm = release.standIn ? { ...realEnds, pollMs: 500, settling: 0.03 } : realEnds
  lab = await startLab(2)
})
afterAll(async () => {
  await lab[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

function declared(hosts: string, more = ''): { readonly options: ApplyOptions; readonly ends: Ends } {
  const text = `apiVersion: cloudimg.io/v1\nkind: Cluster\nspec:\n  image: k3s:v1\n  ssh: { user: root }\n  hosts:\n${hosts}${hooked}${more}`
  const { file } = parseClusterfile(text, 'Clusterfile')
  const { ssh, hosts: named, cluster, marks, env, hooks } = declaredCluster(file, { directory: scratch.path, env: {} })
  const options: ApplyOptions = {
    image: declaredImage(image, file.spec),
    env,
    hooks,
    ...(named && { hosts: named }),
    cluster,
    marks,
    ssh: { configFile: lab.ssh.configFile },
    wishes: { allowStandIn: release.standIn },
    limits: { timeoutSeconds: 240 },
    stateHome: join(scratch.path, 'state'),
  }
  return { options, ends: reachAsDeclared(calm, ssh) }
}

const hooked = `  env: { PLACE: cellar }
  hooks:
    beforeInstall: ['echo "$NodeName $PLACE" >> /root/before']
    afterUp: [kubectl get nodes -o name >> /root/nodes]
    beforeReset: [{ run: cp /root/before /root/last, on: agents }]
`

it(
  'a Clusterfile that grows and changes: hosts, marks, templates, hooks, configuration',
  { timeout: 600_000 },
  async () => {
    const ctx = testContext()
    const [server, agent] = [lab.host('node1'), lab.host('node2')]
    await server.put('/etc/motd', 'theirs\n')
    const small = declared('    - { addresses: [node1], role: server, labels: { disk: ssd } }\n')
    expect(await applyCluster(small.options, ctx, small.ends)).toMatchObject({ changed: true, surplus: [] })
    expect(await server.must('cat /etc/motd')).toBe('welcome to the cellar, node1')

    const hosts = (labels: string, taints: string): string =>
      `    - { addresses: [node1], role: server, labels: { ${labels} } }\n` +
      `    - { addresses: [node2], role: agent, env: { PLACE: attic }, taints: [${taints}] }\n`
    const grown = declared(hosts('disk: ssd, empty: ""', '"dedicated=db:NoSchedule", "quiet:PreferNoSchedule"'))
    expect(await applyCluster(grown.options, ctx, grown.ends)).toMatchObject({ changed: true, surplus: [] })
    expect(await marksOf('node1')).toMatchObject({ labels: { disk: 'ssd', empty: '' } })
    expect((await marksOf('node2')).taints).toEqual(['dedicated=db:NoSchedule', 'quiet=:PreferNoSchedule'])
    expect(await agent.must('cat /etc/motd')).toBe('welcome to the attic, node2')

    const changed = declared(
      hosts('disk: ssd', '"quiet:PreferNoSchedule"'),
      '  config: { server: { disable: [traefik] }, agent: { kubelet-arg: [max-pods=50] } }\n',
    )
    await server.must('/usr/local/bin/k3s kubectl label node node1 theirs=yes')
    const started = await startsOf('node1', 'node2')
    const due = await planApply(changed.options, ctx, changed.ends)
    expect(due).toMatchObject({ missing: [], surplus: [], outdated: [], drift: [] })
    expect(due.converge.plan.restarts).toEqual(['node1', 'node2'])
    expect(due.config.map(({ lines }) => lines)).toEqual([
      ['+ disable: ["traefik"]'],
      ['+ kubelet-arg: ["max-pods=50"]'],
    ])
    expect(await applyCluster(changed.options, ctx, changed.ends)).toMatchObject({ changed: true })
    const [first = 0, second = 0] = await startsOf('node1', 'node2')
    expect(first).toBeGreaterThan(Math.max(...started))
    expect(second).toBeGreaterThan(first)
    const { labels, taints } = await marksOf('node1')
    expect([labels['disk'], labels['empty'], labels['theirs'], taints]).toEqual(['ssd', undefined, 'yes', []])
    expect((await marksOf('node2')).taints).toEqual(['quiet=:PreferNoSchedule'])

    expect(await applyCluster(changed.options, ctx, changed.ends)).toMatchObject({ changed: false })
    // Once on each host, whatever was applied since; variables in no argument and nowhere else.
    expect(await server.must('cat /root/before')).toBe('node1 cellar')
    expect(await agent.must('cat /root/before')).toBe('node2 attic')
    expect(await server.must('cat /root/nodes')).toBe('node/node1')
    expect(await agent.must('ls /run/cloudimg-deploy | grep -v "^cloudimg-" || true')).toBe('')

    const { ssh, limits, stateHome } = small.options
    await resetCluster({ choice: {}, ssh: ssh!, limits: limits!, stateHome: stateHome! }, ctx, changed.ends)
    expect(await server.must('cat /etc/motd')).toBe('theirs')
    expect(await agent.must('cat /root/last; find /var/lib/cloudimg -mindepth 1')).toBe('node2 attic')
  },
)

interface NodeMarks {
  readonly labels: Readonly<Record<string, string>>
  readonly taints: readonly string[]
}

async function marksOf(node: string): Promise<NodeMarks> {
  const text = await lab.host('node1').must(`/usr/local/bin/k3s kubectl get node ${node} -o json`)
  const { metadata, spec } = JSON.parse(text) as {
    readonly metadata: { readonly labels: Readonly<Record<string, string>> }
    readonly spec: {
      readonly taints?: readonly { readonly key: string; readonly value?: string; readonly effect: string }[]
    }
  }
  return {
    labels: metadata.labels,
    taints: (spec.taints ?? []).map(({ key, value = '', effect }) => `${key}=${value}:${effect}`).toSorted(),
  }
}

/** When k3s was last started there, by the clock that all hosts of a lab share. */
async function startsOf(...hosts: readonly string[]): Promise<readonly number[]> {
  const show = 'systemctl show -p ActiveEnterTimestampMonotonic --value k3s.service k3s-agent.service'
  const texts = await Promise.all(hosts.map(host => lab.host(host).must(show)))
  return texts.map(text => Math.max(...text.split('\n').map(Number)))
}
