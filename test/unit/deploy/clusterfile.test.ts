import * as fc from 'fast-check'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { formatDiagnostic } from '../../../src/core/diagnostic.ts'
import { InvalidFileError } from '../../../src/core/invalid-file.ts'
import { formatClusterfile } from '../../../src/deploy/clusterfile/format-clusterfile.ts'
import { generateClusterfile } from '../../../src/deploy/clusterfile/generate-clusterfile.ts'
import { hideSecrets } from '../../../src/deploy/clusterfile/hide-secrets.ts'
import { parseClusterfile } from '../../../src/deploy/clusterfile/parse-clusterfile.ts'
import { knownFields } from '../../../src/deploy/clusterfile/known-fields.ts'
import { type Clusterfile, clusterfileJsonSchema, clusterfileSchema } from '../../../src/deploy/clusterfile/schema.ts'

const cases = join(import.meta.dirname, '../../golden/clusterfile')

/** What a person sees of a file: all its mistakes, or what it means and what it says in vain. */
function shown(text: string): string {
  try {
    const { file, warnings } = parseClusterfile(text, 'Clusterfile')
    return [
      ...warnings.map(entry => formatDiagnostic(entry, hideSecrets(text), 'Clusterfile')),
      formatClusterfile(file),
    ].join('\n\n')
  } catch (error) {
    if (!(error instanceof InvalidFileError)) throw error
    expect(error.code).toBe('CLUSTERFILE_INVALID')
    return error.diagnostics.map(entry => formatDiagnostic(entry, error.source, 'Clusterfile', error.code)).join('\n\n')
  }
}

const head = 'apiVersion: cloudimg.io/v1\nkind: Cluster\n'
const server = '  hosts: [{ addresses: [10.0.0.1], role: server }]\n'

describe('a Clusterfile', () => {
  it.each(readdirSync(cases))('%s', async name => {
    const text = readFileSync(join(cases, name, 'Clusterfile'), 'utf8')
    await expect(`${shown(text)}\n`).toMatchFileSnapshot(join(cases, name, 'shown.txt'))
  })

  it.each([
    ['nothing', ''],
    ['a list', '- a\n'],
    ['a text', 'hello\n'],
    ['another kind', 'apiVersion: cloudimg.io/v1\nkind: Clutser\nspec: {}\n'],
    [
      'a bomb of aliases',
      `a: &a [${'x,'.repeat(9)}x]\nb: &b [${'*a,'.repeat(9)}*a]\nc: &c [${'*b,'.repeat(9)}*b]\nd: [${'*c,'.repeat(9)}*c]\n`,
    ],
  ])('refuses %s', (_, text) => {
    expect(shown(text)).toMatch(/^error\[CLUSTERFILE_INVALID\]/)
  })

  it('takes anchors and merges, and shows their mistakes where they are', () => {
    const text = `${head}spec:\n  image: k3s:v1\n  hosts:\n    - &a { addresses: [10.0.0.1], role: server }\n    - { <<: *a, addresses: [10.0.0.2] }\n`
    expect(parseClusterfile(text, 'f').file.spec.hosts[1]).toEqual({ addresses: ['10.0.0.2'], role: 'server' })
  })

  it('takes master and node as other words', () => {
    const text = `${head}spec:\n  image: k3s:v1\n  hosts: [{ addresses: [a], role: master }, { addresses: [b], role: node }]\n`
    expect(parseClusterfile(text, 'f').file.spec.hosts.map(host => host.role)).toEqual(['master', 'node'])
  })

  it('never has a password in it', () => {
    expect(shown(`${head}spec:\n  image: k3s:v1\n  ssh: { password: x }\n${server}`)).toContain('passwordEnv: VARIABLE')
  })

  it.each([
    ['password: "a b" # c', 'password: ***** # c'],
    ['{ passwd: a, user: b }', '{ passwd: *, user: b }'],
    ["pkPasswd: 'x'", 'pkPasswd: ***'],
    ['agent-token: abc', 'agent-token: ***'],
    ['passwordEnv: SSH_PASSWORD', 'passwordEnv: SSH_PASSWORD'],
    ['registry: https://a:b@hub.example/x', 'registry: https://***@hub.example/x'],
    ['image: a', 'image: a'],
  ])('shows %s without its secret', (text, shown) => {
    expect(hideSecrets(text)).toBe(shown)
  })

  it('is explained by an example that is taken', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/clusterfile.md'), 'utf8')
    const [, example = ''] = /```yaml\n(.*?)```/s.exec(page) ?? []
    const { file, warnings } = parseClusterfile(example, 'docs/clusterfile.md')
    expect(warnings).toEqual([])
    const told = page.slice(page.indexOf('| field |'))
    for (const field of Object.keys(file.spec)) expect(told).toContain(`\`${field}\``)
    expect(Object.keys(file.spec).sort()).toEqual([...knownFields(clusterfileSchema, ['spec'])].sort())
  })

  it('has a schema that editors understand', () => {
    expect(clusterfileJsonSchema()).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      additionalProperties: false,
      required: ['apiVersion', 'kind', 'spec'],
    })
  })
})

const label = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/)
const address = fc.integer({ min: 1, max: 250 })
const entry = fc.record(
  {
    labels: fc.dictionary(label, label),
    taints: fc.array(fc.tuple(label, label).map(([key, value]) => `${key}=${value}:NoSchedule`)),
    ssh: fc.record(
      { user: label, port: fc.integer({ min: 1, max: 65_535 }), jump: label, passwordEnv: label },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
)
const files: fc.Arbitrary<Clusterfile> = fc
  .record({
    places: fc.uniqueArray(address, { minLength: 1, maxLength: 5 }),
    entries: fc.array(entry, { minLength: 5, maxLength: 5 }),
    env: fc.dictionary(label, fc.string()),
    lines: fc.array(fc.string({ minLength: 1 })),
  })
  .map(({ places, entries, env, lines }) => ({
    apiVersion: 'cloudimg.io/v1',
    kind: 'Cluster',
    spec: {
      image: 'k3s:v1.31.4',
      hosts: places.map((place, index) => ({
        addresses: [`10.0.0.${place}`],
        role: index === 0 ? 'server' : 'agent',
        ...entries[index],
      })),
      env,
      commands: lines,
    },
  }))

describe('what is written', () => {
  it('is read again as it was', () => {
    fc.assert(
      fc.property(files, file => {
        expect(parseClusterfile(formatClusterfile(file), 'f').file).toEqual(file)
      }),
    )
  })

  it('is what the flags of gen say', () => {
    const file = generateClusterfile({
      image: 'k3s:v1.31.4',
      servers: ['root@10.0.0.1:22', '10.0.0.2'],
      agents: ['10.0.0.3'],
      nodeIps: { '10.0.0.2': '192.168.0.2' },
      endpoint: 'k3s.example',
      identityFile: '/root/key',
    })
    expect(parseClusterfile(formatClusterfile(file), 'f')).toEqual({ file, warnings: [] })
    expect(file.spec.hosts).toEqual([
      { addresses: ['root@10.0.0.1:22'], role: 'server' },
      { addresses: ['10.0.0.2'], role: 'server', nodeIP: '192.168.0.2' },
      { addresses: ['10.0.0.3'], role: 'agent' },
    ])
  })

  it('means this machine where no host is named', () => {
    expect(generateClusterfile({ image: 'k3s:v1', servers: [], agents: [] }).spec.hosts).toEqual([
      { addresses: ['localhost'], role: 'server' },
    ])
  })
})
