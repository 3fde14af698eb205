import { beforeAll, describe, expect, it } from 'vitest'
import { artifactsOf } from '../../../src/artifact/distribution.ts'
import { loadTemplate, type Template } from '../../../src/artifact/template.ts'
import { testContext } from '../../support/test-context.ts'
import { amd64, arm64, armv7 } from './release-fixture.ts'

let k3s: Template

beforeAll(async () => {
  k3s = await loadTemplate('k3s', '/', testContext())
})

const base = 'https://github.com/k3s-io/k3s/releases/download/v1.31.4%2Bk3s1'

describe('artifactsOf k3s', () => {
  it.each([
    ['amd64', amd64, 'k3s', 'k3s-airgap-images-amd64', 'sha256sum-amd64.txt'],
    ['arm64', arm64, 'k3s-arm64', 'k3s-airgap-images-arm64', 'sha256sum-arm64.txt'],
    ['arm', armv7, 'k3s-armhf', 'k3s-airgap-images-arm', 'sha256sum-arm.txt'],
  ])('names what upstream publishes for %s', (_name, platform, binary, archive, sums) => {
    const found = artifactsOf(k3s, 'v1.31.4+k3s1', platform).map(({ name, forms, checksums, platform: own }) => ({
      name,
      urls: forms.map(form => form.locator),
      checksums: checksums?.locator,
      targets: forms.map(form => form.target),
      shared: own === 'any',
    }))
    const file = (path: string, mode: number): object => ({ path, mode })
    expect(found).toEqual([
      {
        name: 'k3s',
        urls: [`${base}/${binary}`],
        checksums: `${base}/${sums}`,
        targets: [file('bin/k3s', 0o755)],
        shared: false,
      },
      {
        name: 'k3s-airgap-images',
        urls: [`${base}/${archive}.tar.zst`, `${base}/${archive}.tar.gz`, `${base}/${archive}.tar`],
        checksums: `${base}/${sums}`,
        targets: ['.tar.zst', '.tar.gz', '.tar'].map(ending => file(`images/${archive}${ending}`, 0o644)),
        shared: false,
      },
      {
        name: 'k3s-images.txt',
        urls: [`${base}/k3s-images.txt`],
        checksums: undefined,
        targets: [file('images/k3s-images.txt', 0o644)],
        shared: true,
      },
      {
        name: 'install.sh',
        urls: ['https://raw.githubusercontent.com/k3s-io/k3s/v1.31.4%2Bk3s1/install.sh'],
        checksums: undefined,
        targets: [file('scripts/k3s-install.sh', 0o755)],
        shared: true,
      },
      {
        name: 'release-notes.md',
        urls: ['https://github.com/k3s-io/k3s/releases/tag/v1.31.4%2Bk3s1'],
        checksums: undefined,
        targets: [undefined],
        shared: true,
      },
    ])
  })

  it("has the China mirror's spelling of the tag as a further source", () => {
    const [binary] = artifactsOf(k3s, 'v1.25.3+k3s1', arm64)
    expect(binary?.forms[0].sources.map(String)).toEqual([
      'https://github.com/k3s-io/k3s/releases/download/v1.25.3%2Bk3s1/k3s-arm64',
      'https://rancher-mirror.rancher.cn/k3s/v1.25.3-k3s1/k3s-arm64',
    ])
  })

  it('refuses a platform that upstream has nothing for', () => {
    expect(() => artifactsOf(k3s, 'v1.31.4+k3s1', { os: 'linux', arch: 's390x' })).toThrow(
      expect.objectContaining({ code: 'ARTIFACT_UNKNOWN', hint: 'use linux/amd64, linux/arm64, linux/arm' }),
    )
  })
})
