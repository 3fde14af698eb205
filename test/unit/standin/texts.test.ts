import { describe, expect, it } from 'vitest'
import { parseFaults } from '../../support/k3s-standin/faults.ts'
import { normaliseName, splitName } from '../../support/k3s-standin/image-name.ts'
import { renderJsonPath } from '../../support/k3s-standin/jsonpath.ts'
import { parseDuration, parseKubectlArgs } from '../../support/k3s-standin/kubectl-args.ts'
import { changedTaints, parseTaint, withoutTaints } from '../../support/k3s-standin/kubectl-node.ts'
import { mergePatch } from '../../support/k3s-standin/merge.ts'
import { matchesLabels } from '../../support/k3s-standin/selector.ts'
import { caHashOf, formatToken, parseToken } from '../../support/k3s-standin/token.ts'

const nodes = {
  items: ['a', 'b'].map(name => ({
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
    status: {
      conditions: [
        { type: 'DiskPressure', status: 'False' },
        { type: 'Ready', status: name === 'a' ? 'True' : 'Unknown' },
      ],
    },
  })),
}

describe('jsonpath', () => {
  it.each([
    ['{.items[*].metadata.name}', 'a b'],
    ['{.items[0].metadata.name}', 'a'],
    ['{.items[-1].metadata.name}', 'b'],
    ['{.items[0].status.conditions[?(@.type=="Ready")].status}', 'True'],
    [
      '{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}.',
      'a=True\nb=Unknown\n.',
    ],
    ['{.items[0].metadata.labels.kubernetes\\.io/hostname}', 'a'],
    ["{.items[1].metadata.labels['kubernetes.io/hostname']}", 'b'],
    ['{.items[0].nothing}', ''],
    ['{.items[0].metadata.labels}', '{"kubernetes.io/hostname":"a"}'],
  ])('%s', (template, text) => expect(renderJsonPath(template, nodes)).toBe(text))

  it('refuses a form it does not know', () =>
    expect(() => renderJsonPath('{.items[1:2]}', nodes)).toThrow('does not know'))
})

describe('kubectl arguments', () => {
  it.each([
    ['get nodes -o wide', ['get', 'nodes'], 'output', 'wide'],
    ['get nodes -owide', ['get', 'nodes'], 'output', 'wide'],
    ['get --raw=/readyz', ['get'], 'raw', '/readyz'],
    ['-n kube-system get pods', ['get', 'pods'], 'namespace', 'kube-system'],
    ['wait node/a --for=condition=Ready=True --timeout 5m', ['wait', 'node/a'], 'for', 'condition=Ready=True'],
  ])('%s', (line, words, flag, value) => {
    const args = parseKubectlArgs(line.split(' '))
    expect(args.words).toEqual(words)
    expect(args.flag(flag)).toBe(value)
  })

  it('refuses a flag it does not know', () =>
    expect(() => parseKubectlArgs(['get', '--nonsense'])).toThrow('does not know'))

  it.each([
    ['300s', 300_000],
    ['1m30s', 90_000],
    ['0', 0],
    ['1.5h', 5_400_000],
  ])('duration %s', (text, ms) => expect(parseDuration(text)).toBe(ms))

  it('wants a unit', () => expect(() => parseDuration('30')).toThrow('missing unit'))
})

describe('image names', () => {
  it.each([
    ['alpine', 'docker.io/library/alpine:latest'],
    ['rancher/pause:3.6', 'docker.io/rancher/pause:3.6'],
    ['reg.local:5000/a/b', 'reg.local:5000/a/b:latest'],
    ['localhost/a:1', 'localhost/a:1'],
    [`a@sha256:${'0'.repeat(64)}`, `docker.io/library/a@sha256:${'0'.repeat(64)}`],
  ])('%s', (short, full) => expect(normaliseName(short)).toBe(full))

  it('are taken apart', () => expect(splitName('reg:5000/a/b')).toEqual({ repository: 'reg:5000/a/b' }))
})

describe('selectors', () => {
  it.each([
    ['a=1', true],
    ['a==1,b', true],
    ['a!=1', false],
    ['!c', true],
    ['!a', false],
    ['c', false],
    ['node-role.kubernetes.io/etcd=true', true],
  ])('%s', (selector, matches) =>
    expect(matchesLabels(selector, { a: '1', b: '', 'node-role.kubernetes.io/etcd': 'true' })).toBe(matches),
  )
})

describe('tokens', () => {
  it('pin the authority in their long form', () => {
    const text = formatToken('server', 'pass:word', 'PEM')
    expect(text).toBe(`K10${caHashOf('PEM')}::server:pass:word`)
    expect(parseToken(text)).toEqual({ password: 'pass:word', caHash: caHashOf('PEM'), user: 'server' })
  })
  it('are a password alone in their short form', () => expect(parseToken('abc')).toEqual({ password: 'abc' }))
})

describe('faults', () => {
  it('are read', () =>
    expect(parseFaults('{"exitAtImport":1,"timeScale":0.5}')).toEqual({ exitAtImport: 1, timeScale: 0.5 }))

  it.each([
    ['{"exitAtImprot":1}', 'there is no fault "exitAtImprot"'],
    ['{"hangAtNotify":"yes"}', '"hangAtNotify" must be a boolean or number'],
  ])('%s is refused', (text, problem) => expect(() => parseFaults(text)).toThrow(problem))
})

it('a merge patch removes with null and keeps what it does not name', () => {
  expect(mergePatch({ a: { b: 1, c: 2 }, d: [1] }, { a: { b: null }, d: [2] })).toEqual({ a: { c: 2 }, d: [2] })
})

describe('taints', () => {
  it('are known by key and effect', () => {
    const present = [parseTaint('a=1:NoSchedule'), parseTaint('b:NoExecute')]
    const changes = [parseTaint('a=2:NoSchedule'), parseTaint('b:NoSchedule')]
    expect(
      changedTaints('n', present, changes, true).map(({ key, value, effect }) => `${key}=${value}:${effect}`),
    ).toEqual(['b=undefined:NoExecute', 'a=2:NoSchedule', 'b=undefined:NoSchedule'])
    expect(() => changedTaints('n', present, changes, false)).toThrow('--overwrite is false')
    expect(withoutTaints(present, [parseTaint('a:NoSchedule')])).toEqual([parseTaint('b:NoExecute')])
    expect(() => withoutTaints(present, [parseTaint('a:NoExecute')])).toThrow('taint "a:NoExecute" not found')
    expect(() => parseTaint('a=1:Nowhere')).toThrow('invalid taint spec')
  })
})
