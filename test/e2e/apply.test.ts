import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { applyCluster, type ApplyOptions, planApply } from '../../src/deploy/actions/apply.ts'
import { declaredCluster, reachAsDeclared } from '../../src/deploy/clusterfile/declared-cluster.ts'
import { declaredImage } from '../../src/deploy/clusterfile/declared-image.ts'
import { parseClusterfile } from '../../src/deploy/clusterfile/parse-clusterfile.ts'
import type { Ends } from '../../src/deploy/ends.ts'
import { realEnds } from '../../src/deploy/ends.ts'
import { type Lab, startLab } from '../support/lab.ts'
import { releaseImage, type ReleaseImage } from '../support/release-image.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { testContext } from '../support/test-context.ts'

let scratch: Scratch
let release: ReleaseImage
let lab: Lab
beforeAll(async () => {
  scratch = await makeScratch()
  release = await releaseImage(scratch.path)
  lab = await startLab(2)
})
afterAll(async () => {
  await lab[Symbol.asyncDispose]()
  await scratch[Symbol.asyncDispose]()
})

function declared(hosts: string): { readonly options: ApplyOptions; readonly ends: Ends } {
  const text = `apiVersion: cloudimg.io/v1\nkind: Cluster\nspec:\n  image: k3s:v1\n  ssh: { user: root }\n  hosts:\n${hosts}`
  const { file } = parseClusterfile(text, 'Clusterfile')
  const { ssh, hosts: named, cluster, marks } = declaredCluster(file, { directory: scratch.path, env: {} })
  const options: ApplyOptions = {
    image: declaredImage(release.image, file.spec),
    ...(named && { hosts: named }),
    cluster,
    marks,
    ssh: { configFile: lab.ssh.configFile },
    wishes: { allowStandIn: release.standIn },
    limits: { timeoutSeconds: 240 },
    stateHome: join(scratch.path, 'state'),
  }
  return { options, ends: reachAsDeclared(realEnds, ssh) }
}

it('a Clusterfile that grows: a server, then an agent, and what they are marked with', async () => {
  const ctx = testContext()
  const small = declared('    - { addresses: [node1], role: server, labels: { disk: ssd } }\n')
  expect(await applyCluster(small.options, ctx, small.ends)).toMatchObject({ changed: true, surplus: [] })

  const grown = declared(
    '    - { addresses: [node1], role: server, labels: { disk: ssd, empty: "" } }\n' +
      '    - { addresses: [node2], role: agent, taints: ["dedicated=db:NoSchedule", "quiet:PreferNoSchedule"] }\n',
  )
  const before = await planApply(grown.options, ctx, grown.ends)
  expect(before).toMatchObject({ missing: ['node2'], surplus: [], outdated: [], drift: [] })
  expect(await applyCluster(grown.options, ctx, grown.ends)).toMatchObject({ changed: true, surplus: [] })

  const kubectl = '/usr/local/bin/k3s kubectl get node'
  const [server] = lab.hosts
  const labels = await server!.must(`${kubectl} node1 -o "jsonpath={.metadata.labels.disk}[{.metadata.labels.empty}]"`)
  expect(labels).toBe('ssd[]')
  const taints = await server!.must(`${kubectl} node2 -o "jsonpath={.spec.taints}"`)
  expect(taints).toContain('"key":"dedicated"')
  expect(taints).toContain('"key":"quiet"')

  const after = await planApply(grown.options, ctx, grown.ends)
  expect(after).toMatchObject({ missing: [], surplus: [], outdated: [], drift: [] })
  expect(after.converge.pending).toEqual([])
  expect(await applyCluster(grown.options, ctx, grown.ends)).toMatchObject({ changed: false })

  const shrunk = await planApply(small.options, ctx, small.ends)
  expect(shrunk.surplus).toEqual(['node2'])
})
