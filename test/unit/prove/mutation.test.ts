import { describe, expect, it } from 'vitest'
import { type PlatformProof, proveBundle } from '../../../src/prove/prove-bundle.ts'
import type { Bundle } from '../../../src/prove/bundle.ts'
import { bundleImages, bundleRuntimeImages, layoutWithout, sampleBundle, without } from '../../support/sample-bundle.ts'
import { dockerArchive, tinyImage } from '../../support/standin-images.ts'
import { testContext } from '../../support/test-context.ts'

const prove = (bundle: Bundle): Promise<PlatformProof> =>
  proveBundle(bundle, () => Promise.resolve(undefined), testContext())
const whatIsMissing = async (bundle: Bundle): Promise<readonly string[]> =>
  (await prove(bundle)).gaps.map(({ what }) => what)

const whole = sampleBundle()

/** What a cluster works without, as far as a bundle can tell: what asks, and the build's own record. */
const asking = new Set(['Kubefile', 'Metadata', 'manifests/imageList'])
const needed = whole.entries.map(({ path }) => path).filter(path => !asking.has(path))

describe('a proven bundle', () => {
  it('is proven', async () => {
    expect(await prove(whole)).toMatchObject({ proven: true, gaps: [], doubts: [] })
  })

  it('has blobs, scripts and templates to take away', () => {
    for (const pattern of [/blobs/, /^scripts\//, /\.tmpl$/, /^bin\//, /^images\/k3s-/])
      expect(needed.filter(path => pattern.test(path)).length).toBeGreaterThan(0)
    expect(needed.length).toBeGreaterThan(15)
  })
})

describe('a bundle without one file', () => {
  it.each(needed)('names it, and nothing else: %s', async path => {
    const { gaps, proven } = await prove(without(whole, [path]))
    expect(gaps.map(({ what }) => what)).toEqual([path])
    expect(gaps[0]!.askedBy.length).toBeGreaterThan(0)
    expect(proven).toBe(false)
  })
})

describe('a bundle with one byte changed', () => {
  const guarded = needed.filter(path => /blobs|^bin\/|^scripts\/(?!cloudimg)|^etc\/|^images\/k3s-images/.test(path))

  it.each(guarded)('names the file: %s', async path => {
    const bytes = Buffer.from((await whole.read(path, testContext()))!)
    bytes[bytes.length - 1]! ^= 1
    expect(await whatIsMissing(without(whole, [], { [path]: bytes }))).toContain(path)
  })
})

describe('a bundle without one container image', () => {
  it.each(bundleImages)('names it and who asks for it: %s', async (name, askedBy) => {
    const { gaps } = await prove(without(whole, [], layoutWithout(name)))
    expect(gaps).toHaveLength(1)
    expect(gaps[0]).toMatchObject({ kind: 'image', what: name })
    expect(
      gaps[0]!.askedBy.map(({ file, line, field }) => `${file}:${line}${field === '' ? '' : ` ${field}`}`),
    ).toContain(askedBy)
  })

  it.each(bundleRuntimeImages)('in the air-gap archive: %s', async gone => {
    const rest = bundleRuntimeImages.filter(name => name !== gone)
    const archive = dockerArchive(
      rest.map(name => tinyImage('test', 'amd64', name, 64)),
      ({ name }) => [name],
    )
    // As a build would have it that took such an archive.
    const { gaps } = await prove(sampleBundle({ files: { 'images/k3s-airgap-images-amd64.tar': archive } }))
    expect(gaps.map(({ kind, what }) => [kind, what])).toEqual([['image', gone]])
    expect(gaps[0]!.askedBy.map(({ file }) => file)).toContain('images/k3s-images.txt')
  })
})
