import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildImage, type BuildResult } from '../../src/build/build-image.ts'
import { openContext } from '../../src/build/context.ts'
import { openSources } from '../../src/build/sources.ts'
import { parseApplications } from '../../src/core/application.ts'
import { type ClusterMetadata, parseClusterMetadata } from '../../src/core/cluster-metadata.ts'
import { formatReference, parseReference } from '../../src/core/reference.ts'
import { imageFor, type PlatformImage } from '../../src/oci/document.ts'
import { readImageFile } from '../../src/oci/read-image-file.ts'
import { openStore, type Store } from '../../src/oci/store/store.ts'
import { must } from '../support/command.ts'
import { referenceBlocks } from '../support/reference-blocks.ts'
import { makeScratch, type Scratch } from '../support/scratch.ts'
import { testContext } from '../support/test-context.ts'
import { makeTinyRelease } from '../support/tiny-release.ts'

const amd64 = { os: 'linux', arch: 'amd64' } as const
let scratch: Scratch
let store: Store
let release: string

const files: Readonly<Record<string, string>> = {
  imageList: '# none\n',
  'manifests/web.yaml': 'apiVersion: v1\nkind: Namespace\nmetadata: { name: web }\n',
  'charts/web/Chart.yaml': 'apiVersion: v2\nname: web\nversion: 1.0.0\n',
  'rootfs/bin/tool': '#!/bin/sh\n',
  'release-1.2/app': 'app\n',
  'deploy/north/values.yaml': 'region: north\n',
  'two words.txt': 'two words\n',
  'scripts/a.sh': 'echo a\n',
  'scripts/b.sh': 'echo b\n',
  'bin/k3s': '#!/bin/sh\n# a stand-in\n',
  'nginx.yaml': 'apiVersion: v1\nkind: Namespace\nmetadata: { name: nginx }\n',
  'calico.yaml': 'apiVersion: v1\nkind: Namespace\nmetadata: { name: calico }\n',
  'pod.yaml':
    'apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec: { containers: [{ name: p, image: registry.test/app:1 }] }\n',
  'longhorn.yaml': 'apiVersion: v1\nkind: Namespace\nmetadata: { name: longhorn }\n',
}

beforeAll(async () => {
  scratch = await makeScratch()
  for (const [path, text] of Object.entries(files)) {
    const full = join(scratch.path, 'context', path)
    await mkdir(dirname(full), { recursive: true })
    await writeFile(full, text)
  }
  await must(['tar', '-C', join(scratch.path, 'context'), '-cf', join(scratch.path, 'context/files.tar'), 'imageList'])
  store = await openStore(join(scratch.path, 'store'))
  release = (await makeTinyRelease(join(scratch.path, 'release'), {})).directory
})
afterAll(async () => scratch[Symbol.asyncDispose]())

async function build(source: string, tag?: string): Promise<BuildResult> {
  const context = await openContext(join(scratch.path, 'context'), undefined)
  const sources = await openSources({
    store,
    contextDirectory: context.root,
    mirrors: [`k3s=${release}`],
    lock: { path: undefined },
    offline: false,
    pull: false,
    openRepository: () => {
      throw new Error('no example that is built here asks a registry')
    },
  })
  const request = {
    kubefile: { filename: 'Kubefile', source },
    context,
    platforms: [amd64],
    buildArgs: {},
    tags: tag === undefined ? [] : [parseReference(tag)],
    sources,
    options: { epoch: 0, compression: 'none', collect: 'auto', installer: true },
  } as const
  return await buildImage(request, store, testContext())
}

async function read(name: string): Promise<PlatformImage> {
  const ctx = testContext()
  const root = await store.resolve(formatReference(parseReference(name)), ctx)
  return await imageFor(store, root!, amd64, ctx)
}

async function metadataOf({ manifest }: PlatformImage): Promise<ClusterMetadata> {
  const text = await readImageFile(store, manifest.layers, 'Metadata', 1_000_000, testContext())
  return parseClusterMetadata(text!.toString('utf8'))
}

/** What an example that shows one line needs around it. */
function whole(source: string): string {
  const parts = ['COPY imageList etc/']
  const app = /^(?:APPENV|APPCMDS|LAUNCH) (.*)/.exec(source)?.[1]
  if (app !== undefined) parts.push('APP nginx local://nginx.yaml', 'APP mysql local://nginx.yaml')
  const more = `${parts.join('\n')}\n`
  if (/^BASE/m.test(source)) return source
  return /^FROM scratch/m.test(source)
    ? source.replace(/^(FROM scratch.*\n)/m, `$1${more}`)
    : `FROM scratch\n${more}${source}`
}

// The unit tests plan these: they need a registry, a server, or an executor.
const isElsewhere = (source: string): boolean => /https:\/\/|^FROM .*alpine|^RUN/m.test(source)

describe('docs/kubefile.md', () => {
  const blocks = referenceBlocks().filter(({ source }) => !isElsewhere(source))

  it.each(blocks)('shows under $name what can be built', async ({ source }) => {
    const { platforms } = await build(whole(source))
    expect(platforms[0]!.layers.length).toBeGreaterThan(0)
  })

  it('is built but for a few examples', () => {
    expect(blocks.length).toBeGreaterThan(30)
    expect(referenceBlocks().length - blocks.length).toBeLessThan(7)
  })
})

describe("sealer's words", () => {
  const lines = [
    'FROM scratch',
    'COPY bin/ bin/',
    'KUBEVERSION >=1.25 <1.32',
    'APP web local://manifests/web.yaml',
    'APP chart local://charts/web',
    'APP hooks local://scripts/b.sh local://scripts/a.sh',
    'APPENV web REPLICAS=3 NAME="a b"',
    'CNI calico local://calico.yaml',
    'LAUNCH hooks web',
  ]
  const applications = [
    { name: 'web', type: 'kube', files: ['web.yaml'], env: { REPLICAS: '3', NAME: 'a b' } },
    { name: 'chart', type: 'helm', files: ['Chart.yaml'], env: {} },
    { name: 'hooks', type: 'shell', files: ['b.sh', 'a.sh'], env: {} },
    { name: 'calico', type: 'kube', files: ['calico.yaml'], env: {} },
  ]
  const launch = { applications: ['hooks', 'web'], commands: [] }

  it('are told in Metadata, annotation and labels', async () => {
    await build(`${lines.join('\n')}\n`, 'sealer:1')
    const image = await read('sealer:1')
    expect(image.config.config?.Labels).toEqual({
      'app.alpha.sealer.io/supported-kube-version': '>=1.25 <1.32',
      'cluster.alpha.sealer.io/kube-cni-calico': 'true',
    })
    expect(parseApplications(image.manifest.annotations)).toEqual({ applications, launch })
    expect(await metadataOf(image)).toMatchObject({ applications, launch, kubeVersion: '>=1.25 <1.32' })
  })

  it('are inherited by an image that begins with that one, but for what starts', async () => {
    await build('FROM sealer:1\nAPP more local://scripts/a.sh\nCMDS ["echo hi"]\n', 'sealer:2')
    const image = await read('sealer:2')
    const metadata = await metadataOf(image)
    const more = { name: 'more', type: 'shell', files: ['a.sh'], env: {} }
    expect(metadata.applications).toEqual([...applications, more])
    expect(metadata.launch).toEqual({ applications: [], commands: ['echo hi'] })
    expect(image.config.config?.Labels).toHaveProperty(['cluster.alpha.sealer.io/kube-cni-calico'])
  })

  it('stand in the annotation of an image that is no cluster image', async () => {
    await build('FROM scratch\nAPP web local://nginx.yaml\nLAUNCH web\n', 'sealer:3')
    const { manifest } = await read('sealer:3')
    expect(parseApplications(manifest.annotations)).toEqual({
      applications: [{ name: 'web', type: 'kube', files: ['nginx.yaml'], env: {} }],
      launch: { applications: ['web'], commands: [] },
    })
  })

  it('have their images sealed, or are refused', async () => {
    const lines = ['FROM scratch', 'COPY bin/ bin/', 'APP pod local://pod.yaml', '']
    await expect(build(lines.join('\n'))).rejects.toThrow(/registry\.test\/app:1|asks a registry/)
  })

  it('take no second CMD once the tree is a cluster image', async () => {
    await expect(build('FROM scratch\nCOPY bin/ bin/\nCMD a\nCMD b\n')).rejects.toMatchObject({
      code: 'KUBEFILE_INVALID',
      message: expect.stringContaining('a cluster image has one CMD') as string,
      hint: expect.stringContaining('CMDS') as string,
    })
    await build('FROM scratch\nCOPY manifests/ manifests/\nCMD a\nCMD b\n')
  })
})
