import { describe, expect, it } from 'vitest'
import { findRuntime } from '../../../src/runtime/find-runtime.ts'
import { readImages, readKubeconfig, readNodes } from '../../../src/runtime/k3s/observe.ts'
import { FakeHost } from '../../support/fake-host.ts'
import { sampleCluster, sampleNode } from '../../support/sample-node.ts'
import { testContext } from '../../support/test-context.ts'

const node = sampleNode()

describe('runtimes', () => {
  it.each(['k0s', 'kubernetes'])('%s throws whatever it is asked', name => {
    const runtime = findRuntime(name)
    for (const ask of [
      () => runtime.install(node, sampleCluster),
      () => runtime.init(node, sampleCluster),
      () => runtime.reset(node, sampleCluster),
    ])
      expect(ask).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
  })

  it('an unknown one is refused', () => expect(() => findRuntime('nomad')).toThrow('there is no such runtime'))
})

describe('what k3s says', () => {
  const kube = (args: string): string => `look env HOME=/run/cloudimg-deploy timeout 30 /usr/local/bin/k3s ${args}`

  it('nodes, with the reason of those that are not Ready', async () => {
    const server = { 'node-role.kubernetes.io/control-plane': 'true', 'node-role.kubernetes.io/etcd': 'true' }
    const conditions = [
      { type: 'Ready', status: 'True' },
      { type: 'EtcdIsVoter', status: 'False' },
    ]
    const items = [
      {
        metadata: { name: 'a', labels: server },
        status: {
          conditions,
          nodeInfo: { kubeletVersion: 'v1' },
          addresses: [
            { type: 'Hostname', address: 'a' },
            { type: 'InternalIP', address: '10.0.0.1' },
          ],
        },
      },
      { metadata: { name: 'b' }, status: { conditions: [{ type: 'Ready', status: 'Unknown', message: 'gone' }] } },
      { metadata: { name: 'c' }, status: {} },
    ]
    const host = new FakeHost('h', [
      { on: kube('kubectl get nodes -o json'), answer: { stdout: JSON.stringify({ items }) } },
    ])
    const reason = 'the kubelet has not reported yet'
    const unknown = { role: 'agent', address: '', ready: false, version: '', reason, voter: undefined }
    expect(await readNodes(host, testContext())).toEqual([
      { name: 'a', role: 'server', address: '10.0.0.1', ready: true, version: 'v1', reason, voter: false },
      { ...unknown, name: 'b', reason: 'gone' },
      { ...unknown, name: 'c' },
    ])
  })

  it('voters of versions that have no condition for it', async () => {
    const labels = { 'node-role.kubernetes.io/etcd': 'true' }
    const annotations = { 'etcd.k3s.cattle.io/node-address': '10.0.0.1' }
    const items = [
      { metadata: { name: 'a', labels, annotations }, status: {} },
      { metadata: { name: 'b', labels }, status: {} },
    ]
    const host = new FakeHost('h', [{ on: /kubectl/, answer: { stdout: JSON.stringify({ items }) } }])
    expect((await readNodes(host, testContext())).map(node => node.voter)).toEqual([true, false])
  })

  it('images by tag and digest; old ones say null for none', async () => {
    const stdout = JSON.stringify({ images: [{ repoTags: ['a:1'], repoDigests: ['a@sha256:0'] }, { repoTags: null }] })
    const host = new FakeHost('h', [{ on: kube('crictl images -o json'), answer: { stdout } }])
    expect(await readImages(host, testContext())).toEqual(['a:1', 'a@sha256:0'])
  })

  it('nonsense is an error that says what was asked', async () => {
    const host = new FakeHost('h', [{ on: /kubectl/, answer: { stdout: 'no JSON' } }])
    await expect(readNodes(host, testContext())).rejects.toThrow(
      'reading what "k3s kubectl get nodes -o json" says on "h"',
    )
  })

  it('the kubeconfig, with an address that works from elsewhere', async () => {
    const text = 'clusters:\n- cluster:\n    server: https://127.0.0.1:6443\n  name: default\n'
    const host = new FakeHost('h', [{ on: 'read /etc/rancher/k3s/k3s.yaml', value: text }])
    expect(await readKubeconfig(host, '10.0.0.1', testContext())).toBe(text.replace('127.0.0.1', '10.0.0.1'))
    const none = new FakeHost('h', [{ on: /read/ }])
    await expect(readKubeconfig(none, 'x', testContext())).rejects.toMatchObject({ code: 'COMMAND_FAILED' })
  })
})
