import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../src/core/digest.ts'
import { formatIndex, type IndexEntry, joinEntries } from '../../../src/oci/join-index.ts'

function entry(platform: string, content = platform, from = 'a'): IndexEntry {
  const [os = '', architecture = ''] = platform.split('/')
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  return {
    descriptor: { mediaType, digest: digestOf(content), size: 1, platform: { os, architecture } },
    platform,
    from,
  }
}

/** BuildKit's: what is said of the image with that content. */
function attestation(content: string): IndexEntry {
  const { descriptor } = entry('unknown/unknown', `about ${content}`)
  const annotations = { 'vnd.docker.reference.digest': digestOf(content) }
  return { descriptor: { ...descriptor, annotations }, platform: undefined, from: 'a' }
}

const [amd64, arm64] = [entry('linux/amd64'), entry('linux/arm64')]
const strict = { replace: false }

describe('joining images', () => {
  it('gives the same bytes whatever their order', () => {
    const joined = joinEntries([arm64, amd64], strict)
    expect(joined).toEqual([amd64, arm64])
    expect(formatIndex(joined)).toEqual(formatIndex(joinEntries([amd64, arm64, amd64], strict)))
  })

  it('refuses two for one platform, and says which', () => {
    const other = entry('linux/amd64', 'another', 'b')
    expect(() => joinEntries([amd64, other], strict)).toThrow(
      `two are for linux/amd64: ${amd64.descriptor.digest} of "a" and ${other.descriptor.digest} of "b"`,
    )
    expect(joinEntries([amd64, arm64, other], { replace: true })).toEqual([other, arm64])
  })

  it('keeps what is said of an image with it, and drops it with it', () => {
    const other = entry('linux/amd64', 'another')
    const about = [attestation('linux/amd64'), attestation('another'), attestation('linux/arm64')] as const
    expect(joinEntries([amd64, about[0], arm64, about[2]], strict)).toHaveLength(4)
    expect(joinEntries([amd64, about[0], other, about[1]], { replace: true })).toEqual([other, about[1]])
  })
})
