import { describe, expect, it } from 'vitest'
import { atLeast, parseVersion, profileOf } from '../../support/k3s-standin/profile.ts'
import { systemImages } from '../../support/k3s-standin/system-images.ts'

describe('a version gate', () => {
  it.each([
    ['1.29.12 1.30.8 1.31.4', 'v1.31.4+k3s1', true],
    ['1.29.12 1.30.8 1.31.4', 'v1.31.3+k3s1', false],
    ['1.29.12 1.30.8 1.31.4', 'v1.30.8+k3s2', true],
    ['1.29.12 1.30.8 1.31.4', 'v1.29.11+k3s1', false],
    ['1.29.12 1.30.8 1.31.4', 'v1.28.99+k3s1', false],
    ['1.29.12 1.30.8 1.31.4', 'v1.36.0+k3s1', true],
    ['1.22.0', 'v1.21.14+k3s1', false],
    ['1.22.0', 'v1.22.0-rc1+k3s1', true],
  ])('%s is open for %s: %s', (gate, tag, open) => expect(atLeast(gate, tag)).toBe(open))

  it('refuses what is no k3s tag', () => expect(() => parseVersion('v1.25.3')).toThrow('no k3s version'))
})

describe('profiles', () => {
  // DEPLOY.md names four versions; what each does about unknown keys, EtcdIsVoter and pins is what deployers depend on.
  it.each([
    ['v1.21.2+k3s1', [false, false, false, false]],
    ['v1.25.16+k3s4', [false, false, false, true]],
    ['v1.31.4+k3s1', [true, true, true, true]],
    ['v1.36.4+k3s1', [true, true, true, true]],
  ])('of %s', (tag, expected) => {
    const { serverSkipsUnknownKeys, reportsVoter, pinsImages, agentNotifies } = profileOf(tag)
    expect([serverSkipsUnknownKeys, reportsVoter, pinsImages, agentNotifies]).toEqual(expected)
  })

  it.each(['v1.21.2+k3s1', 'v1.31.4+k3s1', 'v1.37.0+k3s1'])('%s has eight images, each a full name', tag => {
    const images = systemImages(tag)
    expect(images).toHaveLength(8)
    for (const image of images) expect(image).toMatch(/^docker\.io\/rancher\/[a-z-]+:[\w.-]+$/)
  })
})
