import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { collectSupport, type CollectResult } from '../../../src/deploy/actions/collect.ts'
import { runCluster } from '../../../src/deploy/actions/run.ts'
import { redactObjects, Redactor } from '../../../src/deploy/collect/redactor.ts'
import { parseSince } from '../../../src/deploy/collect/since.ts'
import { sampleClusterImage, sampleImages } from '../../support/sample-cluster-image.ts'
import { makeSimOperator, type SimOperator } from '../../support/sim-operator.ts'
import { SimWorld, tokenOf } from '../../support/sim-world.ts'
import { testContext } from '../../support/test-context.ts'
import { unpackBundle } from '../../support/unpack-bundle.ts'

const key = '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIHs3cr3tKeyBytes\n-----END EC PRIVATE KEY-----'

describe('Redactor', () => {
  it.each([
    ['token: "abc123"', 'abc123'],
    ["agent-token: 'abc 123'", 'abc 123'],
    ['K3S_TOKEN=abc123', 'abc123'],
    ['k3s server --token abc123 --tls-san a', 'abc123'],
    ['k3s server --agent-token=abc123', 'abc123'],
    ['  password: pa55word', 'pa55word'],
    ['configs: {r: {auth: {username: u, password: pa55word}}}', 'pa55word'],
    ['{"auth":"dXNlcjpwYXNz"}', 'dXNlcjpwYXNz'],
    [String.raw`msg="{\"password\":\"pa55word\"}"`, 'pa55word'],
    ['client-key-data: LS0tLS1CRUdJTg==', 'LS0tLS1CRUdJTg=='],
    ['datastore-endpoint: postgres://k3s:p@ss:w@10.0.0.9:5432/db', 'p@ss'],
    ['dial mysql://k3s:pa55word@tcp(10.0.0.9:3306)/k3s failed', 'pa55word'],
    ['GET / Authorization: Basic bm9kZTpwYXNz', 'bm9kZTpwYXNz'],
    ['"Authorization": "Bearer abcdefgh"', 'abcdefgh'],
    [`K10${'0a'.repeat(32)}::server:abc123`, 'abc123'],
    ['token is eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrM3MifQ.c2ln', 'eyJpc3MiOiJrM3MifQ'],
    ['join with 0a1b2c.0123456789abcdef now', '0123456789abcdef'],
    [key, 'MHcCAQEEIHs3cr3tKeyBytes'],
    [key.replaceAll('\n', String.raw`\n`), 'MHcCAQEEIHs3cr3tKeyBytes'],
    [key.slice(0, 60), 'MHcCAQEEIHs3cr3tKeyBytes'],
  ])('takes the secret out of %s', (text, secret) => {
    expect(text).toContain(secret)
    const shown = new Redactor().redact(text)
    expect(shown).toContain('[redacted]')
    expect(shown).not.toContain(secret)
  })

  it.each([
    'node1 Ready control-plane v1.31.4+k3s1',
    'automountServiceAccountToken: true',
    '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
    'https://10.0.0.1:6443/ping',
    'node-ip: "10.0.0.1"',
  ])('leaves %s alone', text => expect(new Redactor().redact(text)).toBe(text))

  it('knows values wherever they stand, also as base64', () => {
    const redactor = new Redactor()
    redactor.learn('mirrors: {}\nconfigs:\n  r:5000:\n    auth:\n      username: u\n      password: s3cr3t/word\n')
    const encoded = Buffer.from('s3cr3t/word').toString('base64')
    expect(redactor.redact(`a s3cr3t/word b ${encoded} c s3cr3t%2Fword`)).toBe('a [redacted] b [redacted] c [redacted]')
  })

  it('is quick with a line that has no blanks', () => {
    const line = 'x'.repeat(400_000)
    expect(new Redactor().redact(line)).toBe(line)
  })
})

it('objects lose what people wrote into them', () => {
  const pod = {
    metadata: { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': 'hunter2' } },
    spec: {
      containers: [
        {
          image: 'web',
          env: [
            { name: 'DB', value: 'hunter2' },
            { name: 'IP', valueFrom: {} },
          ],
        },
      ],
    },
  }
  const shown = redactObjects(JSON.stringify(pod))
  expect(shown).not.toContain('hunter2')
  expect(JSON.parse(shown)).toMatchObject({
    spec: { containers: [{ image: 'web', env: [{ name: 'DB' }, { name: 'IP' }] }] },
  })
  expect(redactObjects('{"a": "hunter2')).not.toContain('hunter2')
})

describe('parseSince', () => {
  it.each([
    ['30m', '30 minutes ago'],
    ['7d', '7 days ago'],
    ['2026-11-26', '2026-11-26'],
    ['2026-11-26T08:00', '2026-11-26 08:00'],
  ])('%s', (text, since) => expect(parseSince(text)).toBe(since))
  it.each(['', 'yesterday', '5', '2026-13-40', '1h; reboot'])('refuses %j', text =>
    expect(() => parseSince(text)).toThrow('it is no time'),
  )
})

describe('collectSupport', () => {
  const names = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4']
  let world: SimWorld
  let operator: SimOperator
  beforeEach(async () => {
    world = new SimWorld(names, [...sampleImages])
    operator = await makeSimOperator(world)
    const hosts = { servers: names.slice(0, 3), agents: names.slice(3) }
    await runCluster(
      { image: sampleClusterImage(), hosts, stateHome: operator.stateHome },
      testContext(),
      operator.ends,
    )
    for (const host of world.hosts.values()) host.changes.length = 0
  })
  afterEach(() => operator[Symbol.asyncDispose]())

  const out = (name = 'support.tar.gz'): string => join(operator.stateHome, name)
  const collect = (more: object = {}): Promise<CollectResult> => {
    const ssh = { password: 'ssh-pa55word', sudoPassword: 'sudo-pa55word' }
    const options = { choice: {}, stateHome: operator.stateHome, output: out(), since: '24h', ssh, ...more }
    return collectSupport(options, testContext(), operator.ends)
  }

  it('has no secret, whoever speaks of it, and changes nothing', async () => {
    const config = world.server().text('/etc/rancher/k3s/config.yaml')!
    const secrets = [
      tokenOf(config, 'token')!,
      tokenOf(config, 'agent-token')!,
      'ssh-pa55word',
      'sudo-pa55word',
      'n0de-pa55word',
      'reg1stry-pa55word',
    ]
    world.hosts.get('10.0.0.4')!.write('/etc/rancher/node/password', 'n0de-pa55word\n')
    world.hosts
      .get('10.0.0.2')!
      .write('/etc/rancher/k3s/registries.yaml', 'configs: {r: {auth: {password: reg1stry-pa55word}}}\n')
    // The machine that knows a secret of its own is the one that speaks of it; those of the cluster are everybody's.
    for (const [name, own] of [
      ['10.0.0.1', 2],
      ['10.0.0.2', 6],
      ['10.0.0.4', 5],
    ] as const)
      world.hosts.get(name)!.spoken = script =>
        `${script}\n${config}\nodd: ${secrets.slice(0, own).join(' odd ')}\n${key}`
    const { bytes, path } = await collect()
    const files = await unpackBundle(path)
    expect(files.size).toBeGreaterThan(100)
    for (const [name, text] of files)
      for (const secret of [...secrets, 's3cr3tKeyBytes']) expect(text, `${secret} in ${name}`).not.toContain(secret)
    expect(files.get('hosts/node1/journal/k3s.txt')).toContain('node-ip: "10.0.0.1"')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await stat(path)).size).toBe(bytes)
    expect(world.changes()).toEqual([])
  })

  it('has the cluster’s words from one server, the operator’s journal and status, and an index', async () => {
    const { path } = await collect({ output: out('support.tar.zst') })
    const files = await unpackBundle(path)
    const of = (start: string): number => [...files.keys()].filter(name => name.startsWith(start)).length
    expect([of('cluster/'), of('hosts/node3/') > 20, of('hosts/node4/') > 20]).toEqual([7, true, true])
    expect([...files.keys()].filter(name => /^operator\/op-\d+\.jsonl$/.test(name))).toHaveLength(1)
    expect(JSON.parse(files.get('operator/status.json')!)).toMatchObject({ ok: true })
    const index = JSON.parse(files.get('index.json')!) as {
      readonly hosts: readonly { readonly parts: readonly unknown[] }[]
    }
    expect(index.hosts.map(host => host.parts.length > 20)).toEqual([true, true, true, true])
  })

  it('lists hosts that do not answer, and asks the next server', async () => {
    for (const name of ['10.0.0.1', '10.0.0.4']) world.hosts.get(name)!.isOff = true
    const { hosts, path } = await collect()
    const silent = hosts.filter(host => host.unseen !== undefined).map(host => host.name)
    expect(silent.toSorted()).toEqual(['node1', 'node4'])
    const files = await unpackBundle(path)
    expect(files.get('index.json')).toContain('nobody answers')
    expect([...files.keys()].some(name => name.startsWith('cluster/'))).toBe(true)
  })

  it('works where no server is up, and where nobody answers at all', async () => {
    for (const host of world.hosts.values()) for (const unit of host.units.values()) unit.active = false
    expect((await collect()).hosts.every(host => host.unseen === undefined)).toBe(true)
    const named = await collect({ choice: { server: '10.0.0.2' } })
    expect(named.hosts.map(host => [host.host, host.unseen])).toEqual([['10.0.0.2', undefined]])
    for (const host of world.hosts.values()) host.isOff = true
    const { hosts, path } = await collect()
    expect(hosts.every(host => host.unseen !== undefined)).toBe(true)
    expect((await unpackBundle(path)).get('operator/status.json')).toContain('none of its servers answers')
  })

  it('leaves no half bundle behind', async () => {
    await expect(collect({ output: out('support.zip') })).rejects.toMatchObject({ code: 'USAGE' })
    await expect(collect({ choice: { cluster: 'c-none' } })).rejects.toMatchObject({ code: 'USAGE' })
    expect((await readdir(operator.stateHome)).filter(name => name.includes('support'))).toEqual([])
  })
})
