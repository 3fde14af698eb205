import { beforeAll, describe, expect, it } from 'vitest'
import { loadTemplate, type Template } from '../../../src/artifact/template.ts'
import { compareVersions, hasFeature, kubernetesVersion, parseVersion } from '../../../src/artifact/version.ts'
import { testContext } from '../../support/test-context.ts'

let k3s: Template

beforeAll(async () => {
  k3s = await loadTemplate('k3s', '/', testContext())
})

describe('parseVersion', () => {
  it.each([
    ['v1.31.4+k3s1', { major: 1, minor: 31, patch: 4, rc: undefined, revision: 1 }],
    ['v1.25.16+k3s4', { major: 1, minor: 25, patch: 16, rc: undefined, revision: 4 }],
    ['v1.32.0-rc2+k3s1', { major: 1, minor: 32, patch: 0, rc: 2, revision: 1 }],
  ])('reads %s', (text, parts) => {
    expect(parseVersion(k3s, text)).toEqual({ text, ...parts })
  })

  it.each([
    ['v1.25.3', 'write v1.25.3+k3s1'],
    ['1.25.3', 'write v1.25.3+k3s1'],
    ['1.31.4+k3s1', 'write v1.31.4+k3s1'],
    ['v1.31.4-k3s1', 'write v1.31.4+k3s1'],
    ['v1.31.4%2Bk3s1', 'write v1.31.4+k3s1'],
    ['newest', 'write a version such as v1.31.4+k3s1'],
  ])('refuses %s with the hint "%s"', (text, hint) => {
    expect(() => parseVersion(k3s, text)).toThrow(expect.objectContaining({ code: 'ARTIFACT_UNKNOWN', hint }))
  })

  it.each(['v1.25.5+k3s1', 'v1.26.0+k3s1'])('refuses %s, which upstream withdrew', text => {
    expect(() => parseVersion(k3s, text)).toThrow(/withdrew it as broken/)
  })
})

describe('compareVersions', () => {
  it('orders by every part, numerically', () => {
    const ordered = [
      'v1.9.10+k3s1',
      'v1.25.3+k3s1',
      'v1.25.16+k3s2',
      'v1.25.16+k3s10',
      'v1.31.4-rc1+k3s1',
      'v1.31.4-rc10+k3s1',
      'v1.31.4+k3s1',
      'v1.31.10+k3s1',
    ]
    const shuffled = [5, 0, 7, 2, 6, 1, 4, 3].map(index => parseVersion(k3s, ordered[index]!))
    expect(shuffled.sort(compareVersions).map(version => version.text)).toEqual(ordered)
  })

  it('finds a version equal to itself', () => {
    const version = parseVersion(k3s, 'v1.31.4+k3s1')
    expect(compareVersions(version, version)).toBe(0)
  })
})

describe('hasFeature', () => {
  it.each([
    ['v1.26.12+k3s1', 'embedded-registry', false],
    ['v1.26.13+k3s1', 'embedded-registry', true],
    ['v1.27.9+k3s1', 'embedded-registry', false],
    ['v1.29.0+k3s1', 'embedded-registry', false],
    ['v1.29.1+k3s2', 'embedded-registry', true],
    ['v1.30.0+k3s1', 'embedded-registry', true],
    ['v1.25.16+k3s4', 'embedded-registry', false],
    ['v1.31.4+k3s1', 'images-watched', false],
    ['v1.31.5+k3s1', 'images-watched', true],
    ['v1.33.0+k3s1', 'images-watched', true],
    ['v1.32.4+k3s1', 'conditional-import', false],
    ['v1.34.1+k3s1', 'conditional-import', true],
    ['v1.31.5+k3s1', 'containerd-2', false],
    ['v1.26.11+k3s1', 'etcd-voter-condition', true],
  ])('%s and %s: %s', (version, feature, expected) => {
    expect(hasFeature(k3s, version, feature)).toBe(expected)
  })

  it('takes a feature that no template names for a mistake in the program', () => {
    expect(() => hasFeature(k3s, 'v1.31.4+k3s1', 'flight')).toThrow(expect.objectContaining({ code: 'BUG' }))
  })
})

it.each([
  ['v1.31.4+k3s1', 'v1.31.4'],
  ['v1.32.0-rc1+k3s1', 'v1.32.0-rc1'],
])('%s contains Kubernetes %s', (version, kubernetes) => {
  expect(kubernetesVersion(k3s, version)).toBe(kubernetes)
})
