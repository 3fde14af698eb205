import { describe, expect, it } from 'vitest'
import { formatReference, parseReference } from '../../../../src/core/reference.ts'
import { parseRegistriesConf } from '../../../../src/oci/remote/registries-conf.ts'
import { readPlaces, type RegistryRule, writePlace } from '../../../../src/oci/remote/registry-rules.ts'

const rules: readonly RegistryRule[] = [
  {
    prefix: 'docker.io',
    mirrors: [{ location: 'harbor.local/hub' }, { location: '10.0.0.1:5000', insecure: true }],
  },
  { prefix: 'docker.io/acme', location: 'registry.acme.example/base' },
  { prefix: 'lab.local:5000', insecure: true },
  { prefix: '*.wild.example', insecure: true, mirrors: [{ location: 'm.local', only: 'digest' }] },
]

function places(name: string): readonly string[] {
  return readPlaces(rules, parseReference(name)).map(
    ({ ref, insecure }) => `${insecure ? 'insecure ' : ''}${formatReference(ref)}`,
  )
}

const digest = `sha256:${'a'.repeat(64)}`

describe('where an image is read from', () => {
  it.each([
    ['quay.io/x', ['quay.io/x:latest']],
    [
      'alpine:3',
      ['harbor.local/hub/library/alpine:3', 'insecure 10.0.0.1:5000/library/alpine:3', 'docker.io/library/alpine:3'],
    ],
    ['acme/k3s:1', ['registry.acme.example/base/k3s:1']],
    [
      'acmeother/k3s:1',
      ['harbor.local/hub/acmeother/k3s:1', 'insecure 10.0.0.1:5000/acmeother/k3s:1', 'docker.io/acmeother/k3s:1'],
    ],
    ['lab.local:5000/a', ['insecure lab.local:5000/a:latest']],
    ['a.wild.example/x:1', ['insecure a.wild.example/x:1']],
    [`a.wild.example/x@${digest}`, [`m.local/x@${digest}`, `insecure a.wild.example/x@${digest}`]],
    ['wild.example/x:1', ['wild.example/x:1']],
  ])('%s: %j', (name, expected) => {
    expect(places(name)).toEqual(expected)
  })
})

it('is never written to a mirror', () => {
  expect(formatReference(writePlace(rules, parseReference('alpine:3')).ref)).toBe('docker.io/library/alpine:3')
  expect(formatReference(writePlace(rules, parseReference('acme/k3s:1')).ref)).toBe('registry.acme.example/base/k3s:1')
})

describe('registries.conf', () => {
  it('is read as podman reads it', () => {
    const text = `# a comment
unqualified-search-registries = ["docker.io",
  "quay.io"]
short-name-mode = "enforcing"

[[registry]]
prefix = "docker.io"  # the hub
location = 'registry-1.docker.io'
[[registry.mirror]]
location = "harbor.local/hub"
insecure = true
[[registry.mirror]]
location = "second.local"
pull-from-mirror = "digest-only"

[[registry]]
location = "bad.example"
blocked = true

[aliases]
"alpine" = "docker.io/library/alpine"
`
    expect(parseRegistriesConf(text)).toEqual([
      {
        prefix: 'docker.io',
        location: 'registry-1.docker.io',
        insecure: false,
        blocked: false,
        mirrors: [
          { location: 'harbor.local/hub', insecure: true },
          { location: 'second.local', insecure: false, only: 'digest' },
        ],
      },
      { prefix: 'bad.example', insecure: false, blocked: true, mirrors: [] },
    ])
  })

  it.each([
    ['of version 1', '[registries.insecure]\nregistries = ["a"]\n'],
    ['that is empty', ''],
    ['of one without a place', '[[registry]]\ninsecure = true\n'],
  ])('%s has no rules', (_what, text) => {
    expect(parseRegistriesConf(text)).toEqual([])
  })

  it('tells the line that it does not understand', () => {
    expect(() => parseRegistriesConf('[[registry]]\nlocation = nowhere\n')).toThrow('line 2')
  })
})
