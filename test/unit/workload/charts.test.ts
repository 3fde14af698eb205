import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { directoryTree } from '../../../src/workload/directory-tree.ts'
import { discoverImages } from '../../../src/workload/discover-images.ts'
import type { Discovery } from '../../../src/workload/discovery.ts'
import { helmRenderer } from '../../../src/workload/render-chart.ts'
import { testContext } from '../../support/test-context.ts'

const corpus = join(import.meta.dirname, '../../corpus/workload')
let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cloudimg-charts-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

async function discover(render?: ReturnType<typeof helmRenderer>, ctx = testContext()): Promise<Discovery> {
  return await discoverImages(await directoryTree(root), { render }, ctx)
}

function write(path: string, text: string): void {
  mkdirSync(join(root, path, '..'), { recursive: true })
  writeFileSync(join(root, path), text)
}

describe('a packed chart', () => {
  const cases = readdirSync(corpus).filter(name => name.startsWith('chart-') && name !== 'chart-broken')

  it.each(cases)('is judged as its folder is: %s', async name => {
    cpSync(join(corpus, name), root, { recursive: true })
    const expected = JSON.parse(readFileSync(join(corpus, name, 'expected.json'), 'utf8')) as Discovery & { images: [] }
    for (const chart of readdirSync(join(root, 'charts'))) {
      execFileSync('tar', ['-czf', join(root, `charts/${chart}-1.tgz`), '-C', join(root, 'charts'), chart])
      rmSync(join(root, 'charts', chart), { recursive: true })
    }
    const { requests, guesses, unreadable } = await discover()
    const unpacked = <T extends { readonly file: string }>(found: readonly T[]): readonly T[] =>
      found.map(one => ({ ...one, file: one.file.replace(/charts\/[^/]+-1\.tgz\//, 'charts/') }))
    expect(unpacked(requests)).toEqual(expected.images)
    expect(unpacked(guesses)).toEqual(expected.guesses)
    expect(unpacked(unreadable)).toEqual(expected.unreadable)
  })

  it('that is broken is told of', async () => {
    write('charts/x-1.0.0.tgz', 'no archive')
    expect((await discover()).unreadable).toEqual([{ file: 'charts/x-1.0.0.tgz', line: 1, why: 'broken-chart' }])
  })
})

// A shell script in helm's place: it shows what it was given, and prints what it is told to. No real helm is on Debian.
describe('a program in helm’s place', () => {
  function fakeHelm(body: string): string {
    write('bin/helm', `#!/bin/sh\n[ "$1" = version ] && exit 0\n${body}\n`)
    chmodSync(join(root, 'bin/helm'), 0o755)
    return join(root, 'bin/helm')
  }
  beforeEach(() => {
    write('charts/web/Chart.yaml', 'name: web\nversion: 1.0.0\nappVersion: "3"\n')
    write('charts/web/values.yaml', 'image: { repository: acme/web }\n')
    write('charts/web/templates/job.yaml', 'kind: Job\nimage: {{ .Values.x }}\n')
  })

  it('renders, and what it renders counts beside the values', async () => {
    const pod = (image: string): string =>
      `echo '---'; echo '# Source: web/templates/job.yaml'; echo '{apiVersion: v1, kind: Pod, spec: {containers: [{image: "${image}"}]}}'`
    const seen = `[ "$*" = "template release $4 --include-crds" ] || true; [ -f "$3/values.yaml" ] && [ -z "$SECRET" ] || exit 1`
    const { requests, unreadable, charts } = await discover(
      helmRenderer(fakeHelm(`${seen}\n${pod('acme/hidden:1')}\n${pod('acme/web:3')}`)),
    )
    expect(requests.map(({ image, file }) => `${image} ${file}`)).toEqual([
      'docker.io/acme/hidden:1 charts/web/templates/job.yaml',
      'docker.io/acme/web:3 charts/web/values.yaml',
    ])
    expect(unreadable).toEqual([])
    expect(charts).toEqual([{ chart: 'charts/web', by: 'helm' }])
  })

  it('that fails leaves the values, and the templates in doubt', async () => {
    const ctx = testContext()
    const found = await discover(helmRenderer(fakeHelm('echo "Error: no" >&2; exit 1')), ctx)
    expect(found.charts).toEqual([{ chart: 'charts/web', by: 'values' }])
    expect(found.unreadable).toEqual([{ file: 'charts/web/templates/job.yaml', line: 2, why: 'chart-template' }])
    expect(ctx.seen).toMatchObject([
      { kind: 'warning', message: 'rendering "charts/web" with helm: Error: no; its values are read instead' },
    ])
  })

  it('that is not there is not missed', async () => {
    const found = await discover(helmRenderer(join(root, 'bin/nothing')))
    expect(found.charts).toEqual([{ chart: 'charts/web', by: 'values' }])
  })
})

describe('hostile files', () => {
  const bomb = [
    'a: &a [x:1, x:1]',
    ...Array.from(
      { length: 30 },
      (_, i) => `b${i}: &b${i} [*${i === 0 ? 'a' : `b${i - 1}`}, *${i === 0 ? 'a' : `b${i - 1}`}]`,
    ),
  ].join('\n')

  it.each([
    ['a billion laughs', `kind: X\napiVersion: a.b/v1\n${bomb}\n`],
    ['an alias to what it stands in', 'kind: X\napiVersion: a.b/v1\nspec: &a { images: *a }\n'],
    ['a nest of brackets', `kind: X\napiVersion: a.b/v1\nspec: ${'['.repeat(20_000)}\n`],
    ['deep and closed', `kind: X\napiVersion: a.b/v1\nspec: ${'['.repeat(20_000)}${']'.repeat(20_000)}\n`],
    ['noise', '\0\u0001\ud800: {]'],
  ])('are unreadable, no more: %s', async (_, text) => {
    write('manifests/evil.yaml', text)
    write('manifests/good.yaml', 'kind: Pod\nspec: {containers: [{image: a:1}]}\n')
    const { requests, unreadable } = await discover()
    expect(requests).toHaveLength(1)
    expect(unreadable).toMatchObject([{ file: 'manifests/evil.yaml', why: 'broken-yaml' }])
  })
})

describe('sealer’s applications', () => {
  it('are looked through, manifests and charts', async () => {
    write('application/apps/db/pod.yaml', 'kind: Pod\nspec: {containers: [{image: acme/db:1}]}\n')
    write('application/apps/web/Chart.yaml', 'name: web\nversion: 1.0.0\nappVersion: "3"\n')
    write('application/apps/web/values.yaml', 'image: { repository: acme/web }\n')
    write('application/apps/web/templates/pod.yaml', 'kind: Pod\nspec: {{ .Values }}\n')
    const { requests, unreadable } = await discover()
    expect(requests.map(({ image }) => image)).toEqual(['docker.io/acme/db:1', 'docker.io/acme/web:3'])
    expect(unreadable).toEqual([{ file: 'application/apps/web/templates/pod.yaml', line: 2, why: 'chart-template' }])
  })
})
