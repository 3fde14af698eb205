import { beforeAll, describe, expect, it } from 'vitest'
import { componentsOf, parseReleaseNotes } from '../../../src/artifact/components.ts'
import { loadTemplate, type Template } from '../../../src/artifact/template.ts'
import { testContext } from '../../support/test-context.ts'

let k3s: Template

beforeAll(async () => {
  k3s = await loadTemplate('k3s', '/', testContext())
})

const images = [
  'docker.io/rancher/klipper-helm:v0.9.12-build20251215',
  'docker.io/rancher/klipper-lb:v0.4.13',
  'docker.io/rancher/local-path-provisioner:v0.0.32',
  'docker.io/rancher/mirrored-coredns-coredns:1.13.1',
  'docker.io/rancher/mirrored-library-busybox:1.37.0',
  'docker.io/rancher/mirrored-library-traefik:3.5.1',
  'docker.io/rancher/mirrored-metrics-server:v0.8.0',
  'docker.io/rancher/mirrored-pause:3.6',
]

const notes = `# v1.35.0+k3s1

## Embedded Component Versions
| Component | Version |
|---|---|
| Kubernetes | [v1.35.0](https://example.org/#v1350) |
| Kine | [v0.14.9](https://example.org) |
| CoreDNS | [v1.13.1](https://example.org) |
| \`Helm-controller\` | v0.16.17 |
| | v0 |

## Helpful Links
| not | this |
`

describe('componentsOf', () => {
  it('tells what the image list and the version tell', () => {
    expect(componentsOf(k3s, { version: 'v1.35.0+k3s1', images })).toEqual([
      { name: 'busybox', version: '1.37.0', source: 'image-list' },
      { name: 'coredns', version: '1.13.1', source: 'image-list' },
      { name: 'klipper-helm', version: 'v0.9.12-build20251215', source: 'image-list' },
      { name: 'klipper-lb', version: 'v0.4.13', source: 'image-list' },
      { name: 'kubernetes', version: 'v1.35.0', source: 'version' },
      { name: 'local-path-provisioner', version: 'v0.0.32', source: 'image-list' },
      { name: 'metrics-server', version: 'v0.8.0', source: 'image-list' },
      { name: 'pause', version: '3.6', source: 'image-list' },
      { name: 'traefik', version: '3.5.1', source: 'image-list' },
    ])
  })

  it('adds from the notes what nobody else knows', () => {
    const found = componentsOf(k3s, { version: 'v1.35.0+k3s1', images, notes })
    expect(found.filter(({ source }) => source === 'release-notes')).toEqual([
      { name: 'helm-controller', version: 'v0.16.17', source: 'release-notes' },
      { name: 'kine', version: 'v0.14.9', source: 'release-notes' },
    ])
    expect(found.find(({ name }) => name === 'coredns')?.source).toBe('image-list')
  })

  it('guesses nothing', () => {
    expect(componentsOf(k3s, { version: undefined, images: ['docker.io/rancher/unknown:1'] })).toEqual([])
  })

  it('knows the names of older releases', () => {
    const old = ['docker.io/rancher/coredns-coredns:1.8.3', 'docker.io/rancher/library-traefik:2.4.8']
    expect(componentsOf(k3s, { version: undefined, images: old }).map(({ name }) => name)).toEqual([
      'coredns',
      'traefik',
    ])
  })
})

it('finds no table where there is none', () => {
  expect(parseReleaseNotes('# notes\n| a | b |\n|---|---|\n| c | d |\n')).toEqual([])
})
