import { createReadStream, createWriteStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { hostPlatform } from '../../src/core/platform.ts'
import { parseReference } from '../../src/core/reference.ts'
import { encodeHeader, tarEnd, tarPadding } from '../../src/io/tar.ts'
import { type LoadedImage, loadArchives } from '../../src/oci/archive/load-archive.ts'
import { openArchive } from '../../src/oci/archive/open-archive.ts'
import { saveArchiveFile } from '../../src/oci/archive/save-archive-file.ts'
import { saveArchive } from '../../src/oci/archive/save-archive.ts'
import { saveDirectory } from '../../src/oci/archive/save-directory.ts'
import { copyImage } from '../../src/oci/copy.ts'
import { type Descriptor, mediaTypes } from '../../src/oci/descriptor.ts'
import { imageFor } from '../../src/oci/document.ts'
import { blobPath } from '../../src/oci/store/layout.ts'
import { openStore, type Store } from '../../src/oci/store/store.ts'
import { startCloudimgServer } from '../support/cloudimg-server.ts'
import { cloudimg, cloudimgFailure, cloudimgJson } from '../support/cloudimg.ts'
import { quietContext } from '../support/command.ts'
import {
  type ContainerdEngine,
  type ContainerTools,
  type DockerEngine,
  openContainerTools,
  startContainerd,
  startDockerd,
} from '../support/engines.ts'
import { memoryEnd } from '../support/memory-end.ts'
import { jsonSample, sample, type Sample } from '../support/sample-image.ts'

const ctx = quietContext(600_000)
const platform = hostPlatform()
const foreign = platform.arch === 'arm64' ? 'amd64' : 'arm64'

function layerTar(path: string, content: string): Buffer {
  const bytes = Buffer.from(content)
  const entry = { type: 'file', path, mode: 0o644, uid: 0, gid: 0, size: bytes.length, mtime: 0 } as const
  return Buffer.concat([encodeHeader(entry), bytes, tarPadding(bytes.length), tarEnd])
}

interface Built {
  readonly manifest: Sample
  readonly all: readonly Sample[]
}

type Packing = 'none' | 'gzip' | 'zstd'

function pack(tar: Buffer, packing: Packing): Sample {
  if (packing === 'gzip') return sample(gzipSync(tar), mediaTypes.layerGzip)
  return packing === 'zstd' ? sample(zstdCompressSync(tar), mediaTypes.layerZstd) : sample(tar, mediaTypes.layer)
}

function build(architecture: string, packings: readonly Packing[]): Built {
  const tars = packings.map((packing, i) => layerTar(`file-${i}`, `${architecture} ${packing} ${i}\n`))
  const layers = tars.map((tar, i) => pack(tar, packings[i]!))
  const config = jsonSample(
    {
      architecture,
      os: 'linux',
      config: { Cmd: ['/file-0'] },
      rootfs: { type: 'layers', diff_ids: tars.map(tar => digestOf(tar)) },
      history: layers.map((_, i) => ({ created_by: `layer ${i}` })),
    },
    mediaTypes.config,
  )
  const manifest = jsonSample(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: config.descriptor,
      layers: layers.map(layer => layer.descriptor),
    },
    mediaTypes.manifest,
  )
  return { manifest, all: [...layers, config, manifest] }
}

function index(...images: readonly (readonly [string, Built])[]): Sample {
  const manifests = images.map(([architecture, { manifest }]) => ({
    ...manifest.descriptor,
    platform: { os: 'linux', architecture },
  }))
  return jsonSample({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }, mediaTypes.index)
}

// As many layers as a cluster image may have, and all the ways of packing them.
const many = Array.from({ length: 100 }, (_, i): Packing => (['none', 'gzip', 'zstd'] as const)[i % 3]!)
const [native, other] = [build(platform.arch, many), build(foreign, many)]
const both = index([platform.arch, native], [foreign, other])
const sbom = jsonSample(
  {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: 'application/spdx+json',
    config: native.all.at(-2)!.descriptor,
    layers: [],
    subject: both.descriptor,
  },
  mediaTypes.manifest,
)
const name = 'registry.local/lab/image:v1'
const diffIds = many.map((packing, i) => digestOf(layerTar(`file-${i}`, `${platform.arch} ${packing} ${i}\n`)))

let tools: ContainerTools
let hybrid: string
const source = memoryEnd([...native.all, ...other.all, both, sbom])

async function save(file: string, descriptor: Descriptor = both.descriptor): Promise<string> {
  const path = join(tools.home, file)
  await saveArchive(source, [{ name: parseReference(name), descriptor }], createWriteStream(path), { platform }, ctx)
  return path
}

beforeAll(async () => {
  tools = await openContainerTools()
  hybrid = await save('hybrid.tar')
})
afterAll(async () => {
  await tools[Symbol.asyncDispose]()
})

describe('an archive of two platforms with 100 layers', () => {
  it('is loaded by podman', async () => {
    expect(await tools.podman(['load', '-q', '-i', hybrid])).toContain(name)
    const mount = await tools.podman(['image', 'mount', name])
    for (const [i, packing] of many.entries())
      expect(await readFile(join(mount, `file-${i}`), 'utf8')).toBe(`${platform.arch} ${packing} ${i}\n`)
    await tools.podman(['image', 'unmount', name])
    await tools.podman(['rmi', '-f', name])
  })

  it('is loaded by podman with an SBOM in it', async () => {
    source.referring.set(both.descriptor.digest, [sbom.descriptor])
    const path = await save('with-sbom.tar')
    source.referring.clear()
    expect(await tools.podman(['load', '-q', '-i', path])).toContain(name)
    await tools.podman(['rmi', '-f', name])
    const archive = await openArchive(path, {}, ctx)
    expect(await archive.referrers(both.descriptor.digest, ctx)).toMatchObject([{ digest: sbom.descriptor.digest }])
    await archive.close()
  })

  it('is copied by skopeo with its digests', async () => {
    const layout = join(tools.home, 'by-skopeo')
    await tools.skopeo(['copy', '-q', '--all', '--preserve-digests', `oci-archive:${hybrid}`, `dir:${layout}`])
    expect(await readFile(join(layout, 'manifest.json'))).toEqual(both.bytes)
  })

  describe('in docker', () => {
    let docker: DockerEngine
    beforeAll(async () => {
      docker = await startDockerd()
    })
    afterAll(async () => {
      await docker[Symbol.asyncDispose]()
    })

    it('is loaded, and what docker saves is loaded by us', async () => {
      expect(await docker.docker(['load', '-i', hybrid])).toContain(name)
      const id = await docker.docker(['image', 'inspect', '-f', '{{.Id}}', name])
      expect(id).toBe(native.all.at(-2)!.descriptor.digest)
      const saved = join(tools.home, 'by-docker.tar')
      await docker.docker(['save', '-o', saved, name])
      expect(await loadedLayers(saved)).toEqual(diffIds)
    })
  })

  describe('in containerd', () => {
    let containerd: ContainerdEngine
    beforeAll(async () => {
      containerd = await startContainerd()
    })
    afterAll(async () => {
      await containerd[Symbol.asyncDispose]()
    })

    it.each([['hybrid.tar'], ['with-sbom.tar']])(
      '%s is imported for all platforms under its name and digest',
      async file => {
        await containerd.ctr(['images', 'import', '--all-platforms', join(tools.home, file)])
        const listed = await containerd.ctr(['images', 'ls', `name==${name}`])
        expect(listed).toContain(both.descriptor.digest)
        expect(listed).toContain(`linux/${foreign}`)
        await containerd.ctr(['images', 'rm', '--sync', name])
      },
    )
  })
})

/** Loads an archive into a fresh store; what it says of the layers for this platform. */
async function loadedLayers(path: string): Promise<readonly string[]> {
  const archive = await openArchive(createReadStream(path), { temporary: tools.home }, ctx)
  try {
    const [image] = archive.names()
    const store = await openStore(join(tools.home, `home-${digestOf(path).slice(-8)}`))
    const from = image?.name ?? image?.descriptor.digest ?? ''
    const copied = await copyImage(archive, from, store, name, {}, ctx)
    const found = await imageFor(store, copied, platform, ctx)
    return found.config.rootfs.diff_ids
  } finally {
    await archive.close()
  }
}

describe('archives of others', () => {
  beforeAll(async () => {
    await tools.podman(['load', '-q', '-i', hybrid])
  })

  it('podman save --format oci-archive is loaded', async () => {
    const path = join(tools.home, 'podman-oci.tar')
    await tools.podman(['save', '-q', '--format', 'oci-archive', '-o', path, name])
    expect(await loadedLayers(path)).toEqual(diffIds)
  })

  // podman 4.3 itself cannot write a docker-archive of an image with zstd layers.
  it('podman save --format docker-archive is loaded', async () => {
    const plain = build(platform.arch, ['none', 'gzip'])
    const ours = join(tools.home, 'plain.tar')
    const roots = [{ name: parseReference('registry.local/plain:v1'), descriptor: plain.manifest.descriptor }]
    await saveArchive(memoryEnd(plain.all), roots, createWriteStream(ours), { platform }, ctx)
    await tools.podman(['load', '-q', '-i', ours])
    const path = join(tools.home, 'podman-docker.tar')
    await tools.podman(['save', '-q', '--format', 'docker-archive', '-o', path, 'registry.local/plain:v1'])
    const tars = [layerTar('file-0', `${platform.arch} none 0\n`), layerTar('file-1', `${platform.arch} gzip 1\n`)]
    expect(await loadedLayers(path)).toEqual(tars.map(tar => digestOf(tar)))
  })

  it('skopeo copy to an oci-archive is loaded', async () => {
    const path = join(tools.home, 'skopeo.tar')
    await tools.skopeo(['copy', '-q', '--all', `oci-archive:${hybrid}`, `oci-archive:${path}:v1`])
    expect(await loadedLayers(path)).toEqual(diffIds)
  })
})

describe('a layout directory', () => {
  it('is unpacked by umoci and read by skopeo', async () => {
    const plain = build(platform.arch, ['gzip', 'none'])
    const path = join(tools.home, 'layout')
    const roots = [{ name: parseReference(name), descriptor: plain.manifest.descriptor }]
    await saveDirectory(memoryEnd(plain.all), roots, path, {}, ctx)
    await tools.umoci(['unpack', '--image', `${path}:v1`, join(tools.home, 'bundle')])
    expect(await readFile(join(tools.home, 'bundle/rootfs/file-1'), 'utf8')).toBe(`${platform.arch} none 1\n`)
    expect(await tools.skopeo(['inspect', '--raw', `oci:${path}:v1`])).toBe(plain.manifest.bytes.toString())
  })
})

/** What another program gave back, as we read it. */
interface Crossed {
  readonly digest: string
  readonly config: string
  readonly diffIds: readonly string[]
}

let homes = 0
async function crossed(path: string): Promise<Crossed> {
  const store = await openStore(join(tools.home, `crossed-${++homes}`))
  const [loaded] = await loadArchives([path], store, { temporary: tools.home }, ctx)
  const image = await imageFor(store, await rootOf(store, loaded!), platform, ctx)
  return { digest: loaded!.digest, config: image.manifest.config.digest, diffIds: image.config.rootfs.diff_ids }
}

async function rootOf(store: Store, { name: loadedName, digest }: LoadedImage): Promise<Descriptor> {
  const named = await store.resolve(loadedName, ctx)
  if (named !== undefined) return named
  const size = (await stat(blobPath(store.layout, digest))).size
  return { mediaType: mediaTypes.manifest, digest, size }
}

describe('every form crosses and comes back', () => {
  const small = build(platform.arch, ['none', 'gzip', 'zstd'])
  const unpackable = build(platform.arch, ['none', 'gzip'])
  const config = ({ all }: Built): Descriptor => all.at(-2)!.descriptor
  const diffIdsOf = ({ all }: Built): readonly string[] =>
    (JSON.parse(all.at(-2)!.bytes.toString()) as { rootfs: { diff_ids: string[] } }).rootfs.diff_ids
  const ref = 'registry.local/lab/crossing:v1'
  let docker: DockerEngine
  let containerd: ContainerdEngine

  beforeAll(async () => {
    ;[docker, containerd] = await Promise.all([startDockerd(), startContainerd()])
  })
  afterAll(async () => {
    await Promise.all([docker, containerd].map(engine => engine?.[Symbol.asyncDispose]()))
  })

  const place = (file: string): string => join(tools.home, `${++homes}-${file}`)
  const umoci = async (path: string): Promise<string> => {
    await tools.umoci(['unpack', '--image', `${path}:v1`, place('bundle')])
    await tools.umoci(['tag', '--image', `${path}:v1`, 'v2'])
    await tools.umoci(['gc', '--layout', path])
    await tools.umoci(['rm', '--image', `${path}:v2`])
    return path
  }
  const byPodman = async (path: string): Promise<string> => {
    const back = place('podman.tar')
    expect(await tools.podman(['load', '-q', '-i', path])).toContain(ref)
    await tools.podman(['save', '-q', '--format', 'oci-archive', '-o', back, ref])
    await tools.podman(['rmi', '-f', ref])
    return back
  }
  const byDocker = async (path: string): Promise<string> => {
    const back = place('docker.tar')
    await docker.docker(['load', '-i', path])
    await docker.docker(['save', '-o', back, ref])
    await docker.docker(['rmi', '-f', ref])
    return back
  }
  const byCtr = async (path: string): Promise<string> => {
    const back = place('ctr.tar')
    await containerd.ctr(['images', 'import', '--all-platforms', path])
    await containerd.ctr(['images', 'export', '--all-platforms', back, ref])
    await containerd.ctr(['images', 'rm', '--sync', ref])
    return back
  }
  const bySkopeo =
    (from: string, to: string) =>
    async (path: string): Promise<string> => {
      const back = place(to)
      const tag = from === 'oci' ? ':v1' : ''
      await tools.skopeo([
        'copy',
        '-q',
        '--all',
        '--preserve-digests',
        `${from}:${path}${tag}`,
        `${to}:${back}:${to === 'docker-archive' ? ref : 'v1'}`,
      ])
      return back
    }

  // What a program cannot keep: podman and docker unpack layers and pack them anew, a docker-archive has no manifests.
  it.each([
    ['hybrid', 'ctr', byCtr, small, 'digest'],
    ['oci-archive', 'ctr', byCtr, small, 'digest'],
    ['docker-archive', 'ctr', byCtr, small, 'config'],
    ['hybrid', 'skopeo', bySkopeo('oci-archive', 'oci-archive'), small, 'digest'],
    ['oci-archive', 'skopeo', bySkopeo('oci-archive', 'oci'), small, 'digest'],
    ['docker-archive', 'skopeo', bySkopeo('docker-archive', 'docker-archive'), small, 'config'],
    ['oci-dir', 'skopeo', bySkopeo('oci', 'oci-archive'), small, 'digest'],
    ['oci-dir', 'umoci', umoci, unpackable, 'digest'],
    ['hybrid', 'docker', byDocker, small, 'config'],
    ['docker-archive', 'docker', byDocker, small, 'config'],
    ['hybrid', 'podman', byPodman, small, 'diffIds'],
    ['oci-archive', 'podman', byPodman, small, 'diffIds'],
    ['docker-archive', 'podman', byPodman, small, 'diffIds'],
  ] as const)('%s by %s', async (form, _tool, cross, image, unchanged) => {
    const roots = [{ name: parseReference(ref), descriptor: image.manifest.descriptor }]
    const path = place(form)
    if (form === 'oci-dir') await saveDirectory(memoryEnd(image.all), roots, path, {}, ctx)
    else await saveArchiveFile(memoryEnd(image.all), roots, path, { platform, form }, ctx)
    const wanted: Crossed = {
      digest: image.manifest.descriptor.digest,
      config: config(image).digest,
      diffIds: diffIdsOf(image),
    }
    const back = await crossed(await cross(path))
    const keys = {
      digest: ['digest', 'config', 'diffIds'],
      config: ['config', 'diffIds'],
      diffIds: ['diffIds'],
    } as const
    for (const key of keys[unchanged]) expect([key, back[key]]).toEqual([key, wanted[key]])
  })
})

describe('cloudimg save and load as people type them', () => {
  const place = (name: string): { home: string } => ({ home: join(tools.home, name) })
  const ref = 'registry.local/lab/image:v1'

  beforeAll(async () => {
    await cloudimgJson(['load', '-i', hybrid], place('here'))
  })

  const inspected = async (home: string): Promise<unknown> => await cloudimgJson(['inspect', ref], place(home))

  it.each([
    ['oci-archive', ['--format', 'oci-archive', '-o', 'oci.tar'], ['-i', 'oci.tar']],
    ['oci-dir', ['--format', 'oci-dir', '-o', 'oci.d'], ['-i', 'oci.d']],
    ['parts, of which one lies elsewhere', ['--split', '1M', '-o', 'p.tar'], ['-i', 'p.tar.parts.json']],
  ])('%s', async (what, saveFlags, loadFlags) => {
    const cwd = place('here').home
    await cloudimgJson(['save', ...saveFlags, ref], { ...place('here'), cwd })
    await cloudimgJson(['load', ...loadFlags], { ...place(`there ${what}`), cwd })
    expect(await inspected(`there ${what}`)).toEqual(await inspected('here'))
  })

  it('a delta by an inventory of the other side, from stdin and over a pipe', async () => {
    const cwd = place('here').home
    const platforms = ['--platform', `linux/${platform.arch}`]
    await cloudimgJson(['save', ...platforms, '-o', 'one.tar', ref], { ...place('here'), cwd })
    await cloudimgJson(['load', '-i', 'one.tar'], { ...place('site'), cwd })
    const { stdout } = await cloudimg(['inventory'], place('site'))
    const flags = ['--have', '-', '-o', 'delta.tar', ref]
    await cloudimgJson(['save', ...flags], { ...place('here'), cwd, input: stdout })
    expect((await stat(join(cwd, 'delta.tar'))).size).toBeLessThan((await stat(hybrid)).size * 0.7)
    await cloudimgJson(['load', '-i', 'delta.tar'], { ...place('site'), cwd })
    expect(await inspected('site')).toEqual(await inspected('here'))
    const failure = await cloudimgFailure(['load', '-i', 'delta.tar'], { ...place('elsewhere'), cwd })
    expect(failure).toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      message: expect.stringContaining(ref),
      hint: expect.stringContaining(ref),
    })
  })

  it('an inventory of a registry', async () => {
    const log = join(tools.home, 'serve.log')
    await using server = await startCloudimgServer(place('served'), log)
    await cloudimgJson(['push', ref, `${server.host}/lab/image:v1`], place('here'))
    const remote = await cloudimgJson<{ blobs: object }>(
      ['inventory', '--remote', `${server.host}/lab/image`],
      place('here'),
    )
    const local = await cloudimgJson<{ blobs: object }>(['inventory', ref], place('here'))
    expect(Object.keys(remote.blobs).sort()).toEqual(Object.keys(local.blobs).sort())
    expect(Object.values(remote.blobs)[0]).toEqual([`${server.host}/lab/image:v1`])
  })

  it.each([
    [['save', '--split', '4G', ref], /no file is named/],
    [['save', '--format', 'oci-dir', '--split', '4G', '-o', 'x', ref], /a directory has no parts/],
    [['save', '--have', 'nowhere.txt', '-o', 'x', ref], /inventory "nowhere.txt"/],
    [['inventory', '--remote'], /no repository is named/],
  ])('%j is refused', async (args, message) => {
    expect((await cloudimgFailure(args, place('here'))).message).toMatch(message)
  })
})
