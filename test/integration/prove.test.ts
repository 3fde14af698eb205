import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatReference, parseReference } from '../../src/core/reference.ts'
import { openDeployImage } from '../../src/deploy/store-image.ts'
import { openStore } from '../../src/oci/store/store.ts'
import { openBundle } from '../../src/prove/bundle.ts'
import type { ImageDifference } from '../../src/prove/diff-images.ts'
import type { Explanation } from '../../src/prove/explain-image.ts'
import { type Proof, proveBundle } from '../../src/prove/prove-bundle.ts'
import { cloudimg, cloudimgFailure, cloudimgJson, type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { quietContext } from '../support/command.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { without } from '../support/sample-bundle.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { makeTinyRelease, type TinyRelease, tinyImages, tinyVersion } from '../support/tiny-release.ts'
import { pushWorkloadImage, workloadImage } from '../support/workload-images.ts'

let scratch: Scratch
let registry: RealRegistry
let release: TinyRelease
let redis = ''

const place = (): CloudimgPlace => ({ home: join(scratch.path, 'home') })
const image = (name: string): string => `${registry.host}/${name}`
const cluster = (tag: string): string => image(`cluster:${tag}`)

beforeAll(async () => {
  scratch = await makeScratch()
  registry = await startRealRegistry()
  release = await makeTinyRelease(join(scratch.path, 'release'), { arches: ['amd64', 'arm64'], binaryBytes: 50_000 })
  const layers = (seed: string): readonly [string, number][] => [
    ['base {arch}', 50_000],
    [seed, 5000],
  ]
  redis = await pushWorkloadImage(image('redis:7'), workloadImage({ layers: layers('redis') }))
  await pushWorkloadImage(image('web:1'), workloadImage({ layers: layers('web 1') }))
  await pushWorkloadImage(image('web:2'), workloadImage({ layers: layers('web 2') }))
})
afterAll(async () => {
  await registry.stop()
  await scratch[Symbol.asyncDispose]()
})

const kubefile = `FROM scratch\nBASE k3s@${tinyVersion}\nLABEL team=a\nCOPY . .\nCMDS ["kubectl apply -f manifests/app.yaml"]\n`
const manifest = (tag: string): string =>
  `kind: Pod\nspec:\n  containers:\n    - image: ${image(`web:${tag}`)}\n    - image: ${image(`redis@${redis}`)}\n`

async function buildArgs(tag: string, files: Readonly<Record<string, string>>, ...flags: string[]): Promise<string[]> {
  const directory = join(scratch.path, tag)
  for (const [path, text] of Object.entries({ Kubefile: kubefile, ...files })) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), text)
  }
  const platforms = ['--platform', 'linux/amd64,linux/arm64']
  return ['build', '--mirror', `k3s=${release.directory}`, '-t', cluster(tag), ...platforms, ...flags, directory]
}

describe('two versions of a cluster image', () => {
  const script = { 'scripts/after.sh': '#!/bin/sh\nkubectl get nodes\n', 'etc/x.conf.tmpl': 'x\n' }

  beforeAll(async () => {
    await cloudimgJson(await buildArgs('one', { ...script, 'manifests/app.yaml': manifest('1') }, '--prove'), place())
    await cloudimgJson(await buildArgs('two', { ...script, 'manifests/app.yaml': manifest('2') }), place())
    for (const tag of ['one', 'two']) await cloudimgJson(['push', cluster(tag)], place())
  })

  it('are proven, also from the registry', async () => {
    const proof = await cloudimgJson<Proof>(['prove', cluster('two')], { home: join(scratch.path, 'elsewhere') })
    expect(proof.proven).toBe(true)
    expect(proof.platforms.map(({ platform, gaps, checked }) => [platform, gaps, checked.images])).toEqual(
      ['linux/amd64', 'linux/arm64'].map(platform => [platform, [], tinyImages.length + 2]),
    )
    const { stdout, code } = await cloudimg(['prove', cluster('one'), '--platform', 'linux/arm64'], place())
    expect([code, stdout.split('\n')[0]]).toEqual([
      0,
      expect.stringMatching(/^linux\/arm64: proven \(looked at 10 container images/),
    ])
  })

  it('are explained line by line', async () => {
    const { platforms } = await cloudimgJson<{ platforms: readonly Explanation[] }>(
      ['explain', cluster('one')],
      place(),
    )
    expect(platforms.map(({ platform }) => platform)).toEqual(['linux/amd64', 'linux/arm64'])
    const [found] = platforms
    expect(found).toMatchObject({ runtime: 'k3s', version: tinyVersion, sealed: true })
    expect(found!.artifacts.find(({ path }) => path === 'bin/k3s')).toMatchObject({ line: 2, size: 50_000 })
    expect(found!.layers.some(({ line, createdBy }) => line === 4 && createdBy.startsWith('COPY . .'))).toBe(true)
    expect(found!.images.map(({ name, askedBy }) => [name, askedBy])).toEqual(
      [
        [image(`redis@${redis}`), ['manifests/app.yaml:5 spec.containers[1].image']],
        [image('web:1'), ['manifests/app.yaml:4 spec.containers[0].image']],
      ].sort(([a], [b]) => (a! < b! ? -1 : 1)),
    )
    expect(found!.totals).toMatchObject({ containerImages: tinyImages.length + 2 })
    const { stdout } = await cloudimg(['explain', cluster('one'), '--platform', 'linux/amd64'], place())
    expect(stdout).toMatch(/bin\/k3s +v1\.31\.4\+k3s1 +\S+ \S+ +Kubefile:2/)
    expect(stdout).toContain('manifests/app.yaml:4 spec.containers[0].image')
  })

  it('miss each blob, program, script and template that is taken away', async () => {
    const store = await openStore(storeOf(place()))
    const ctx = quietContext(120_000)
    const ref = parseReference(cluster('one'))
    const root = (await store.resolve(formatReference(ref), ctx))!
    const { platforms } = await openDeployImage(store, ref, root, ctx)
    const bundle = await openBundle(platforms[0]!, ctx)
    const asking = ['Kubefile', 'Metadata']
    const paths = bundle.files().flatMap(({ path }) => (asking.includes(path) ? [] : [path]))
    expect(paths.length).toBeGreaterThanOrEqual(18)
    for (const path of paths) {
      const { gaps } = await proveBundle(without(bundle, [path]), () => Promise.resolve(undefined), ctx)
      expect(gaps.map(({ what }) => what)).toEqual([path])
      expect(gaps[0]!.askedBy.length).toBeGreaterThan(0)
    }
  })

  it('differ in what was changed', async () => {
    const args = ['diff', cluster('one'), cluster('two'), '--platform', 'linux/amd64']
    const { same, platforms } = await cloudimgJson<{ same: boolean; platforms: readonly ImageDifference[] }>(
      args,
      place(),
    )
    expect(same).toBe(false)
    const [found] = platforms
    expect(found!.images).toMatchObject({ added: [], removed: [] })
    expect(found!.images.moved.map(({ before, after }) => [before.name, after.name])).toEqual([
      [image('web:1'), image('web:2')],
    ])
    expect(found!.files.changed.map(({ path }) => path)).toEqual(['Metadata', 'manifests/app.yaml'])
    expect([found!.config, found!.versions]).toEqual([[], []])
    expect(found!.push.bytes).toBeGreaterThan(5000)
    expect(found!.push.bytes).toBeLessThan(found!.push.of)
    const { code, stdout } = await cloudimg([...args, '--exit-code'], place())
    expect(code).toBe(9)
    expect(stdout).toMatch(/~ +\S+web:1 \(\w{12}\) +\S+web:2/)
    const none = await cloudimg(['diff', cluster('one'), cluster('one'), '--exit-code'], place())
    expect(none.code).toBe(0)
    expect(none.stdout).toContain('nothing inside is different')
    expect(await cloudimgFailure(['diff', cluster('one')], place())).toMatchObject({ code: 'USAGE', exit: 2 })
  })
})

describe('what is not proven', () => {
  const files = {
    'manifests/app.yaml': `kind: Pod\nspec:\n  containers:\n    - image: 127.0.0.1:1/gone:1\n`,
    'scripts/after.sh': '#!/bin/sh\ncurl -sfL https://get.example.com | sh -\n',
  }

  it('says what is missing, and who asks', async () => {
    await cloudimgJson(await buildArgs('open', files, '--collect=never'), place())
    const { code, stdout } = await cloudimg(['prove', cluster('open'), '--platform', 'linux/amd64'], place())
    expect(code).toBe(1)
    expect(stdout).toContain('linux/amd64: not proven, 2 gaps')
    expect(stdout).toMatch(/image +127\.0\.0\.1:1\/gone:1 +manifests\/app\.yaml:4 spec\.containers\[0\]\.image/)
    expect(stdout).toMatch(/network +https:\/\/get\.example\.com +scripts\/after\.sh:2/)
    expect(stdout).toContain('--collect=never')
  })

  it('gets no name from build --prove', async () => {
    const failure = await cloudimgFailure(await buildArgs('closed', files, '--collect=never', '--prove'), place())
    expect(failure).toMatchObject({ code: 'IMAGE_UNRESOLVED', exit: 1 })
    expect(failure.message).toContain('scripts/after.sh:2')
    const { code } = await cloudimg(['inspect', cluster('closed')], place())
    expect(code).toBe(1)
  })

  it('is no image of another kind', async () => {
    const directory = join(scratch.path, 'plain')
    await mkdir(directory)
    await writeFile(join(directory, 'Kubefile'), 'FROM scratch\nCOPY Kubefile /x\n')
    await cloudimgJson(['build', '-t', 'plain:1', directory], place())
    expect(await cloudimgFailure(['prove', 'plain:1'], place())).toMatchObject({ code: 'IMAGE_INVALID' })
    const { platforms } = await cloudimgJson<{ platforms: readonly Explanation[] }>(['explain', 'plain:1'], place())
    expect(platforms[0]).toMatchObject({
      artifacts: [],
      images: [],
      layers: [{ createdBy: 'COPY Kubefile /x', files: 1 }],
    })
  })
})
