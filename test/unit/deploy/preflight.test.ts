import { describe, expect, it } from 'vitest'
import type { Wishes } from '../../../src/deploy/options.ts'
import { judgeHosts } from '../../../src/deploy/preflight.ts'
import type { SituatedNode } from '../../../src/deploy/situation.ts'
import { digestOf } from '../../../src/core/digest.ts'
import type { Finding } from '../../../src/runtime/finding.ts'
import { k3s } from '../../../src/runtime/k3s/k3s.ts'
import { noEnvironment } from '../../../src/deploy/environment.ts'
import { sampleCluster, sampleFacts, sampleNode } from '../../support/sample-node.ts'

function judge(nodes: readonly SituatedNode[], wishes: Wishes = {}): readonly Finding[] {
  const [first, ...rest] = nodes
  const image = { reference: 'k3s', digest: digestOf('index') }
  const none = { leaving: [], forgotten: [], members: [], fixes: [], launch: [], env: noEnvironment }
  return judgeHosts({ image, cluster: sampleCluster, runtime: k3s, nodes: [first!, ...rest], ...none, wishes })
}

function findings(...nodes: readonly SituatedNode[]): readonly string[] {
  return judge(nodes).map(finding => `${finding.severity} ${finding.id}`)
}

function withFacts(...lines: readonly string[]): SituatedNode {
  const facts = sampleFacts(lines)
  return sampleNode({ facts, name: facts.hostname.toLowerCase() })
}

const record = (more: object): string =>
  `node=${JSON.stringify({ v: 1, cluster: 'c-1', role: 'server', digest: sampleNode().rootfs.digest, ...more })}`

describe('judge', () => {
  it('finds nothing where nothing is wrong', () => expect(findings(sampleNode(), sampleNode({}, 2))).toEqual([]))

  it.each([
    ['init=openrc', 'error init'],
    ['missing=tar', 'error tools'],
    ['hostname=localhost', 'error hostname'],
    ['hostname=a_b', 'error hostname'],
    ['memory-kib=1000000', 'warning resources'],
    ['disk=/var/lib/rancher 1000 90000 rw', 'error disk'],
    ['disk=/var/lib/rancher 90000000 10 rw', 'error inodes'],
    ['disk=/usr/local/bin 90000000 90000 rw,noexec', 'error noexec'],
    ['controllers=cpu', 'error cgroups'],
    ['time=1010', 'warning clock'],
    ['time=2000', 'error clock'],
    ['apparmor=no-parser', 'error apparmor'],
    ['selinux=Enforcing', 'warning selinux'],
    ['service=firewalld', 'warning firewall'],
    ['service=kubelet', 'error other-kubernetes'],
    ['service=nm-cloud-setup.timer', 'error nm-cloud-setup'],
    ['tcp=00000000:192B', 'error ports'],
    ['unit-k3s-agent=active enabled', 'error foreign-k3s'],
    ['k3s-data=yes', 'error foreign-k3s'],
    ['k3s-drop-in=a.yaml: tls-san', 'error config-drop-in'],
    [record({ cluster: 'c-2' }), 'error other-cluster'],
    [record({ role: 'agent' }), 'error role'],
    [record({ digest: `sha256:${'0'.repeat(64)}` }), 'error upgrade'],
  ])('%s → %s', (line, finding) => expect(findings(withFacts(line))).toContain(finding))

  it.each([
    [['route=unreachable default metric 1'], true],
    [['route=blackhole default'], true],
    [['route=default dev tun0 scope link'], false],
    [['route=default via 10.0.0.254 dev eth0'], false],
  ])('default route %j missing: %s', (lines, missing) => {
    const facts = { ...sampleFacts(lines), defaultRoutes: lines.map(line => line.slice('route='.length)) }
    expect(findings(sampleNode({ facts })).includes('warning default-route')).toBe(missing)
  })

  it('has nothing against what cloudimg itself installed', () =>
    expect(findings(withFacts(record({}), 'unit-k3s=active enabled', 'tcp=00000000:192B', 'k3s-data=yes'))).toEqual([]))

  it('compares machines with each other', () => {
    const twin = sampleNode({ facts: sampleFacts(['machine-id=m1'], 2), name: 'node1' }, 2)
    expect(findings(sampleNode(), twin)).toEqual(['error same-name', 'warning same-machine-id'])
    expect(findings(sampleNode(), sampleNode({ name: 'other', host: 'alias', address: '10.0.0.1' }, 2))).toEqual([
      'error same-address',
    ])
  })

  it('lets the stand-in pass only where it is allowed', () => {
    const ids = (allowStandIn: boolean): readonly string[] =>
      judge([sampleNode()], { standIn: true, allowStandIn }).map(finding => finding.id)
    expect(ids(false)).toEqual(['stand-in'])
    expect(ids(true)).toEqual([])
  })
})
