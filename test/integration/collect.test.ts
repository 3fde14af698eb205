import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ClusterMetadata } from '../../src/core/cluster-metadata.ts'
import { KiB, MiB } from '../../src/core/bytes.ts'
import type { Index, Manifest } from '../../src/oci/image.ts'
import { cloudimg, cloudimgFailure, cloudimgJson, type CloudimgPlace, storeOf } from '../support/cloudimg.ts'
import { must } from '../support/command.ts'
import { type ContainerTools, openContainerTools, startContainerd, startDockerd } from '../support/engines.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { storeFaults } from '../support/store-check.ts'
import { makeTinyRelease, type TinyRelease, tinyVersion } from '../support/tiny-release.ts'
import { pushWorkloadImage, workloadImage } from '../support/workload-images.ts'

let tools: ContainerTools
let registry: RealRegistry
let release: TinyRelease
let serial = 0

const at = (...parts: string[]): string => join(tools.home, ...parts)
const place = (): CloudimgPlace => ({ home: at('cloudimg') })
const image = (name: string): string => `${registry.host}/${name}`
const both = 'linux/amd64,linux/arm64'

/** nginx and redis share a large and a small layer. */
const nginx = workloadImage({
  layers: [
    ['base {arch}', 5 * MiB],
    ['shared {arch}', 20 * KiB],
    ['nginx {arch}', 300 * KiB],
  ],
})
const redis = workloadImage({
  layers: [
    ['base {arch}', 5 * MiB],
    ['shared {arch}', 20 * KiB],
    ['redis {arch}', 200 * KiB],
  ],
})
const amd64Only = workloadImage({ arches: ['amd64'], layers: [['only', 10 * KiB]] })
const digests: Record<string, string> = {}

beforeAll(async () => {
  tools = await openContainerTools()
  registry = await startRealRegistry()
  release = await makeTinyRelease(at('release'), { arches: ['amd64', 'arm64'], binaryBytes: 100_000 })
  digests.nginx = await pushWorkloadImage(image('nginx:1.27'), nginx)
  digests.redis = await pushWorkloadImage(image('library/redis:7'), redis)
  await pushWorkloadImage(image('only:1'), amd64Only)
})
afterAll(async () => {
  await tools[Symbol.asyncDispose]()
  await registry.stop()
})

const pod = (...images: string[]): string =>
  ['kind: Pod', 'spec:', '  containers:', ...images.map(name => `    - image: ${name}`), ''].join('\n')

interface Build {
  readonly files: Readonly<Record<string, string>>
  readonly kubefile?: string
  readonly flags?: readonly string[]
  readonly platform?: string
  readonly tag?: string
  readonly place?: CloudimgPlace
  /** Builds in the folder of an earlier one, whose lock is there. */
  readonly again?: string
}

interface Built {
  readonly index: string
  readonly tag: string
  readonly directory: string
  readonly platforms: readonly {
    readonly layers: readonly { digest: string; size: number }[]
    readonly cached: number
  }[]
}

async function buildArgs(build: Build): Promise<{ args: readonly string[]; directory: string; tag: string }> {
  const directory = build.again ?? at(`build-${++serial}`)
  await rm(join(directory, 'context'), { recursive: true, force: true })
  for (const [path, text] of Object.entries(build.files)) {
    await mkdir(join(directory, 'context', path, '..'), { recursive: true })
    await writeFile(join(directory, 'context', path), text)
  }
  await mkdir(join(directory, 'context'), { recursive: true })
  const tag = build.tag ?? `cluster:${serial}`
  const lines = build.kubefile ?? `FROM scratch\nBASE k3s@${tinyVersion}\nCOPY . .\n`
  await writeFile(join(directory, 'Kubefile'), lines)
  const flags = ['-f', join(directory, 'Kubefile'), '--mirror', `k3s=${release.directory}`, '-t', tag]
  const platform = ['--platform', build.platform ?? both]
  return { args: ['build', ...flags, ...platform, ...(build.flags ?? []), join(directory, 'context')], directory, tag }
}

async function build(wish: Build): Promise<Built> {
  const { args, directory, tag } = await buildArgs(wish)
  return { ...(await cloudimgJson<Built>(args, wish.place ?? place())), directory, tag }
}

async function failing(wish: Build): ReturnType<typeof cloudimgFailure> {
  return await cloudimgFailure((await buildArgs(wish)).args, wish.place ?? place())
}

async function unpacked(tag: string, platform = 'linux/amd64', where = place()): Promise<string> {
  const target = at(`tree-${++serial}`)
  await cloudimgJson(['unpack', tag, target, '--platform', platform], where)
  return target
}

async function readJson<T>(...path: string[]): Promise<T> {
  return JSON.parse(await readFile(join(...path), 'utf8')) as T
}

async function namesIn(tree: string): Promise<readonly (string | undefined)[]> {
  const { manifests } = await readJson<Index>(tree, 'images/oci/index.json')
  return manifests.map(({ annotations }) => annotations?.['io.containerd.image.name'])
}

const sorted = (names: readonly (string | undefined)[]): readonly string[] =>
  names.map(String).toSorted((a, b) => (a < b ? -1 : 1))

describe('collecting', () => {
  let built: Built
  beforeAll(async () => {
    built = await build({
      files: {
        'manifests/imageList': `# what runs\n${image('nginx:1.27')}\nrancher/mirrored-pause:3.6\n`,
        'manifests/app.yaml': pod(image('library/redis:7'), `${image('nginx')}@${digests.nginx}`),
      },
    })
  })

  it('lays the images of each platform as one OCI layout, blobs shared, names in full', async () => {
    for (const [position, platform] of ['linux/amd64', 'linux/arm64'].entries()) {
      const tree = await unpacked(built.tag, platform)
      const index = await readJson<Index>(tree, 'images/oci/index.json')
      const [byDigest, byTag, other] = [
        `${image('nginx')}@${digests.nginx}`,
        image('nginx:1.27'),
        image('library/redis:7'),
      ]
      expect(sorted(await namesIn(tree))).toEqual(sorted([byDigest, byTag, other]))
      const nginxManifest = nginx.manifests[position]!.descriptor.digest
      for (const { annotations, digest, mediaType } of index.manifests) {
        expect(mediaType).toContain('manifest.v1')
        const isOther = annotations?.['io.containerd.image.name'] === other
        expect(digest === nginxManifest).toBe(!isOther)
        expect(annotations?.['org.opencontainers.image.ref.name']).toBe(annotations?.['io.containerd.image.name'])
      }
      const blobs = await readdir(join(tree, 'images/oci/blobs/sha256'))
      // Four layers, two configs, two manifests.
      expect(blobs).toHaveLength(8)
      for (const blob of blobs)
        expect(await must(['sha256sum', join(tree, 'images/oci/blobs/sha256', blob)])).toContain(`${blob} `)
      await tools.skopeo(['inspect', `oci:${join(tree, 'images/oci')}:${other}`])
    }
    expect(await storeFaults(storeOf(place()))).toEqual([])
  })

  it('pins index digests in the lock, and says in Metadata what it collected and who asked', async () => {
    const lock = await readFile(join(built.directory, 'Kubefile.lock'), 'utf8')
    expect(lock).toContain(`locator: "${image('nginx:1.27')}"\n    platform: any\n    digest: ${digests.nginx}`)
    const metadata = await readJson<ClusterMetadata>(await unpacked(built.tag), 'Metadata')
    expect(metadata.sealed).toBe(true)
    expect(metadata.collected).toContainEqual({
      name: image('nginx:1.27'),
      digest: nginx.manifests[0]!.descriptor.digest,
      size: expect.any(Number),
      askedBy: ['manifests/imageList:2'],
    })
    expect(metadata.collected!.find(({ name }) => name === image('library/redis:7'))!.askedBy).toEqual([
      expect.stringMatching(/^manifests\/app.yaml:4 /),
    ])
  })

  it('gives what containerd imports whole: each name, tags and index digests alike', async () => {
    const tree = await unpacked(built.tag)
    await using engine = await startContainerd()
    const archive = at('layout.tar')
    await must(['tar', '-cf', archive, '-C', join(tree, 'images/oci'), 'oci-layout', 'index.json', 'blobs'])
    await engine.ctr(['images', 'import', '--no-unpack', archive])
    const names = (await engine.ctr(['images', 'ls', '-q'])).split('\n')
    expect(sorted(names)).toEqual(sorted(await namesIn(tree)))
    for (const name of names) expect(await engine.ctr(['images', 'check', `name==${name}`])).toContain('complete')
  })

  it('gives the same again without network, and makes none of its layers anew', async () => {
    const files = {
      'manifests/imageList': `# what runs\n${image('nginx:1.27')}\nrancher/mirrored-pause:3.6\n`,
      'manifests/app.yaml': pod(image('library/redis:7'), `${image('nginx')}@${digests.nginx}`),
    }
    const again = await build({ files, again: built.directory, flags: ['--offline', '--locked'] })
    expect(again.index).toBe(built.index)
    // The context's own layer is made again: its files were written anew.
    for (const { layers, cached } of again.platforms) expect(cached).toBe(layers.length - 1)
  })

  it('leaves what the air-gap archive has to the archive', async () => {
    const { tag } = await build({
      files: { 'manifests/imageList': 'rancher/mirrored-pause:3.6\n' },
      platform: 'linux/amd64',
    })
    expect(await readdir(join(await unpacked(tag), 'images'))).not.toContain('oci')
  })

  it('collects where the line says, and at the end what came later; a base’s images are not collected again', async () => {
    const kubefile = `FROM scratch\nBASE k3s@${tinyVersion}\nCOPY a.yaml manifests/\nBASE rootfs cache\nCOPY b.yaml manifests/\n`
    const files = { 'a.yaml': pod(image('nginx:1.27')), 'b.yaml': pod(image('library/redis:7')) }
    const first = await build({ kubefile, files, platform: 'linux/amd64' })
    expect(sorted(await namesIn(await unpacked(first.tag)))).toEqual([image('library/redis:7'), image('nginx:1.27')])
    const more = await build({
      kubefile: `FROM ${first.tag}\nCOPY c.yaml manifests/\n`,
      files: { 'c.yaml': pod(image('only:1'), image('nginx:1.27')) },
      platform: 'linux/amd64',
    })
    const tree = await unpacked(more.tag)
    expect(await namesIn(tree)).toHaveLength(3)
    const { collected } = await readJson<ClusterMetadata>(tree, 'Metadata')
    expect(collected!.find(({ name }) => name === image('nginx:1.27'))!.askedBy).toEqual([
      expect.stringContaining('manifests/a.yaml'),
      expect.stringContaining('manifests/c.yaml'),
    ])
  })

  it('with --collect=never brings nothing, and says so', async () => {
    const files = { 'manifests/imageList': `${image('nginx:1.27')}\n` }
    const { tag } = await build({ files, flags: ['--collect=never'], platform: 'linux/amd64' })
    const metadata = await readJson<ClusterMetadata>(await unpacked(tag), 'Metadata')
    expect(metadata).toMatchObject({
      sealed: false,
      unsealed: ['--collect=never: 1 named images are not in it'],
      collected: [],
    })
  })
})

describe('what cannot be had is an error', () => {
  it('that names the image, the platform and the line', async () => {
    const failure = await failing({ files: { 'manifests/app.yaml': pod(image('nginx:1.27'), image('only:1')) } })
    expect(failure).toMatchObject({ code: 'PLATFORM_MISSING' })
    expect(failure.message).toContain(`${image('only:1')} (manifests/app.yaml:5 `)
    expect(failure.message).toContain('for linux/arm64')
    expect(failure.message).toContain('found linux/amd64')
  })

  it('for all of them at once', async () => {
    const files = {
      'manifests/app.yaml': pod(image('no:1'), image('nothing:2')),
      'manifests/imageList': `${image('only:1')}\n`,
    }
    const failure = await failing({ files, platform: 'linux/arm64' })
    expect(failure).toMatchObject({ code: 'IMAGE_UNRESOLVED', exit: 1 })
    for (const part of [
      'no:1 (manifests/app.yaml:4',
      'nothing:2 (manifests/app.yaml:5',
      'only:1 (manifests/imageList:1',
    ])
      expect(failure.message).toContain(part)
  })

  it('offline, with all that is missing', async () => {
    const failure = await failing({
      files: { 'manifests/imageList': `${image('never:1')}\n` },
      flags: ['--offline'],
    })
    expect(failure.code).toBe('OFFLINE')
    expect(failure.message).toContain(`${image('never:1')} (manifests/imageList:1)`)
  })

  it('where the registry wants a login, and none once there is one', async () => {
    await using locked = await startRealRegistry({ auth: 'token' })
    const { user, password } = locked.credentials
    const name = `${locked.host}/private/app:1`
    await pushWorkloadImage(name, amd64Only, { find: async () => ({ kind: 'basic', username: user, password }) })
    const own = { home: at('login') }
    const wish = { files: { 'manifests/imageList': `${name}\n` }, platform: 'linux/amd64', place: own }
    const failure = await failing(wish)
    expect(failure).toMatchObject({ code: 'REGISTRY_AUTH', exit: 4 })
    expect(failure.message).toContain('manifests/imageList:1')
    const login = await cloudimg(['login', locked.host, '-u', user, '--password-stdin'], { ...own, input: password })
    expect(login.code).toBe(0)
    expect(await namesIn(await unpacked((await build(wish)).tag, 'linux/amd64', own))).toEqual([name])
  })
})

describe('what asks for images and cannot be read', () => {
  const broken = { 'manifests/app.yaml': 'kind: Pod\nspec: {{ .Values.spec }}\n', 'manifests/imageList': '' }

  it('keeps the image from being built, with its place', async () => {
    const failure = await failing({ files: broken, platform: 'linux/amd64' })
    expect(failure).toMatchObject({ code: 'IMAGE_UNRESOLVED', exit: 1 })
    expect(failure.message).toContain('manifests/app.yaml:2 (template)')
    expect(failure.hint).toContain('--allow-unresolved')
  })

  it('leaves it unsealed with --allow-unresolved, as does an image that cannot be had', async () => {
    const files = { ...broken, 'manifests/imageList': `${image('nothing:1')}\n${image('nginx:1.27')}\n` }
    const { tag } = await build({ files, platform: 'linux/amd64', flags: ['--allow-unresolved'] })
    const tree = await unpacked(tag)
    expect(await namesIn(tree)).toEqual([image('nginx:1.27')])
    const metadata = await readJson<ClusterMetadata>(tree, 'Metadata')
    expect(metadata.sealed).toBe(false)
    expect(metadata.unsealed).toEqual([
      '--allow-unresolved: what these places ask for is not known: manifests/app.yaml:2 (template)',
      expect.stringMatching(
        /^--allow-unresolved: .*nothing:1 \(manifests\/imageList:1\): .*neither in the store nor at/,
      ),
    ])
  })

  it('is warned of where only a person can tell', async () => {
    const files = {
      'charts/web/Chart.yaml': 'name: web\nversion: 1.0.0\nappVersion: "1.27"\n',
      'charts/web/values.yaml': `image: { repository: ${image('nginx')} }\nother: { image: acme/untagged }\n`,
      'charts/web/templates/app.yaml': 'kind: Pod\nspec: {{ .Values }}\n',
    }
    const { args, tag } = await buildArgs({ files, platform: 'linux/amd64' })
    const { stderr, code } = await cloudimg(args, place())
    expect(code).toBe(0)
    expect(stderr).toContain('acme/untagged (charts/web/values.yaml:2, no-version)')
    expect(stderr).toContain('charts/web/templates/app.yaml:2 (chart-template)')
    expect(await namesIn(await unpacked(tag))).toEqual([image('nginx:1.27')])
    const deps = await cloudimgJson<Record<string, readonly object[]>>(['deps', tag], place())
    expect(deps.charts).toEqual([{ chart: 'charts/web', by: 'values' }])
    expect(deps.images!.filter(found => 'file' in found && found.file !== 'images/k3s-images.txt')).toEqual([
      { image: image('nginx:1.27'), file: 'charts/web/values.yaml', line: 1, field: 'image.repository' },
    ])
    expect((await cloudimg(['deps', tag], place())).stdout).toMatch(/ASKED FOR BY[^]*acme\/untagged[^]*chart-template/)
  })
})

describe('cloudimg lock', () => {
  it('pins the images that the tree asks for, and finds what a name stands for now', async () => {
    const own = { home: at('lock') }
    const moving = (seed: string): Promise<string> =>
      pushWorkloadImage(image('moving:1'), workloadImage({ arches: ['amd64'], layers: [[seed, KiB]] }))
    const before = await moving('one')
    const wish: Build = {
      files: { 'manifests/imageList': `${image('moving:1')}\n` },
      platform: 'linux/amd64',
      place: own,
    }
    const { args, directory } = await buildArgs(wish)
    const lock = ['lock', ...args.slice(1).filter((_, i) => args[i + 1] !== '-t' && args[i] !== '-t')]
    await cloudimgJson(lock, own)
    const pins = (): Promise<string> => readFile(join(directory, 'Kubefile.lock'), 'utf8')
    expect(await pins()).toContain(before)
    const after = await moving('two')
    await cloudimgJson([...args, '--locked'], own)
    await cloudimgJson([...lock, '--prune'], own)
    expect(await pins()).toContain(before)
    await cloudimgJson([...lock, '--update', image('moving:1'), '--prune'], own)
    expect(await pins()).toContain(after)
    expect(await pins()).not.toContain(before)
  })
})

describe('images that are no registry’s', () => {
  it('come from archives, layouts and a docker daemon', async () => {
    await using engine = await startDockerd()
    const layout = at('build-local/context/layout')
    await mkdir(layout, { recursive: true })
    const source = `docker://${image('only:1')}`
    await tools.skopeo(['copy', '-q', '--src-tls-verify=false', source, `oci:${layout}:v1`])
    await tools.skopeo(['copy', '-q', '--src-tls-verify=false', source, `docker-archive:${at('app.tar')}:shop/app:1`])
    await engine.docker(['load', '-i', at('app.tar')])
    await engine.docker(['tag', 'shop/app:1', 'shop/daemon:2'])
    const list = [
      'docker-archive:app.tar',
      'oci:layout:v1@registry.local/layout:3',
      'docker-archive:app.tar:shop/app:1@registry.local/renamed:4',
      'docker-daemon:shop/daemon:2',
    ]
    const wish: Build = {
      again: at('build-local'),
      tag: 'local:1',
      kubefile: `FROM scratch\nBASE k3s@${tinyVersion}\nCOPY manifests manifests/\n`,
      files: { 'manifests/imageList': `${list.join('\n')}\n`, 'manifests/app.yaml': pod('shop/app:1') },
      platform: 'linux/amd64',
      place: { ...place(), env: { DOCKER_HOST: `unix://${engine.socket}` } },
    }
    const { args, directory } = await buildArgs(wish)
    await mkdir(join(directory, 'context/layout'), { recursive: true })
    await tools.skopeo(['copy', '-q', '--src-tls-verify=false', source, `oci:${join(directory, 'context/layout')}:v1`])
    await must(['cp', at('app.tar'), join(directory, 'context/app.tar')])
    await cloudimgJson(args, wish.place!)
    const names = [
      'docker.io/shop/app:1',
      'docker.io/shop/daemon:2',
      'registry.local/layout:3',
      'registry.local/renamed:4',
    ]
    const tree = await unpacked('local:1')
    expect(await namesIn(tree)).toEqual(names)
    const { collected } = await readJson<ClusterMetadata>(tree, 'Metadata')
    expect(collected!.map(({ askedBy }) => askedBy[0])).toEqual([
      'manifests/app.yaml:4 spec.containers[0].image',
      'manifests/imageList:4',
      'manifests/imageList:2',
      'manifests/imageList:3',
    ])
    expect(collected![0]!.askedBy).toContain('manifests/imageList:1')
    // Who begins with this image need not have the archives.
    const { tag } = await build({ kubefile: 'FROM local:1\nLABEL a=b\n', files: {}, platform: 'linux/amd64' })
    expect(await namesIn(await unpacked(tag))).toEqual(names)
    // Pinned: another image under that name is not taken unasked.
    await must(['rm', join(directory, 'context/app.tar')])
    const other = image('library/redis:7')
    await tools.skopeo([
      'copy',
      '-q',
      '--src-tls-verify=false',
      '--override-arch=amd64',
      `docker://${other}`,
      `docker-archive:${join(directory, 'context/app.tar')}:shop/app:1`,
    ])
    expect(await cloudimgFailure(args, wish.place!)).toMatchObject({ code: 'LOCK_MISMATCH', exit: 5 })
  })

  it('are not read outside the context', async () => {
    const failure = await failing({ files: { 'manifests/imageList': 'docker-archive:../../release/channels.tar\n' } })
    expect(failure.message).toContain('manifests/imageList:1')
    expect(['FILE_ERROR', 'CONTEXT_INVALID']).toContain(failure.code)
    const outside = await failing({ files: { 'manifests/imageList': `oci:${release.directory}\n` } })
    expect(outside.code).toBe('CONTEXT_INVALID')
  })

  it('come from an archive below images/, which no runtime would import', async () => {
    const { args, directory, tag } = await buildArgs({
      files: { 'manifests/app.yaml': pod('shop/extra:1') },
      platform: 'linux/amd64',
    })
    await mkdir(join(directory, 'context/images'))
    const archive = join(directory, 'context/images/extra.tar')
    await tools.skopeo([
      'copy',
      '-q',
      '--src-tls-verify=false',
      `docker://${image('only:1')}`,
      `docker-archive:${archive}:shop/extra:1`,
    ])
    await cloudimgJson(args, place())
    expect(await namesIn(await unpacked(tag))).toEqual(['docker.io/shop/extra:1'])
  })
})

describe('two versions that differ in one small image', () => {
  it('share all other layers: a push and a delta move little more than what changed', async () => {
    const small = (version: string): ReturnType<typeof workloadImage> =>
      workloadImage({
        arches: ['amd64'],
        layers: [
          ['small base', 100 * KiB],
          [`small ${version}`, 300 * KiB],
        ],
      })
    await pushWorkloadImage(image('small:1'), small('1'))
    await pushWorkloadImage(image('small:2'), small('2'))
    const files = (version: string): Record<string, string> => ({
      'manifests/imageList': [image('nginx:1.27'), image('library/redis:7'), image(`small:${version}`), ''].join('\n'),
    })
    await using target = await startRealRegistry()
    const stored = async (): Promise<number> => Number((await must(['du', '-sb', target.storage])).split(/\s/)[0])
    const first = await build({ files: files('1'), platform: 'linux/amd64', tag: `${target.host}/cluster:1` })
    await cloudimgJson(['push', first.tag], place())
    const there = at('there.txt')
    await writeFile(there, (await cloudimg(['inventory', first.tag], place())).stdout)
    const before = await stored()
    const second = await build({ files: files('2'), platform: 'linux/amd64', tag: `${target.host}/cluster:2` })
    await cloudimgJson(['push', second.tag], place())
    const most = 1.1 * 400 * KiB + 256 * KiB
    expect((await stored()) - before).toBeLessThanOrEqual(most)

    const delta = at('delta.tar')
    await cloudimgJson(['save', '--format', 'oci-archive', '--have', there, '-o', delta, second.tag], place())
    expect((await stat(delta)).size).toBeLessThanOrEqual(most)
    const site = { home: at('site') }
    await cloudimgJson(['pull', first.tag], site)
    await cloudimgJson(['load', '-i', delta], site)
    expect(await cloudimgJson(['fsck'], site)).toMatchObject({ ok: true })
  })

  it('of many more images than an image may have layers are still one image', async () => {
    const many = Array.from({ length: 120 }, (_, number) => {
      const layers = [
        ['many base', 4 * MiB],
        [`many ${number}`, KiB],
      ] as const
      return { name: `registry.local/many:${number}`, image: workloadImage({ arches: ['amd64'], layers }) }
    })
    const { args, directory, tag } = await buildArgs({
      files: { 'manifests/imageList': 'oci:layout\n' },
      kubefile: `FROM scratch\nBASE k3s@${tinyVersion}\nCOPY manifests manifests/\n`,
      platform: 'linux/amd64',
    })
    const blobs = join(directory, 'context/layout/blobs/sha256')
    await mkdir(blobs, { recursive: true })
    await writeFile(join(blobs, '../../oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
    for (const { descriptor, bytes } of many.flatMap(({ image: { all } }) => all))
      await writeFile(join(blobs, descriptor.digest.slice('sha256:'.length)), bytes)
    const manifests = many.map(({ name, image: { manifests } }) => ({
      ...manifests[0]!.descriptor,
      annotations: { 'io.containerd.image.name': name },
    }))
    await writeFile(join(blobs, '../../index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
    const { platforms } = await cloudimgJson<Built>(args, place())
    expect(platforms[0]!.layers.length).toBeLessThanOrEqual(100)
    const inspected = await cloudimgJson<{ platforms: readonly { manifest: Manifest }[] }>(['inspect', tag], place())
    expect(inspected.platforms[0]!.manifest.layers).toHaveLength(platforms[0]!.layers.length)
    const tree = await unpacked(tag)
    expect(await namesIn(tree)).toHaveLength(120)
    expect(await readdir(join(tree, 'images/oci/blobs/sha256'))).toHaveLength(1 + 3 * 120)
  })
})
