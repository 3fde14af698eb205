import { createReadStream, createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { hostPlatform } from '../../src/core/platform.ts'
import { parseReference } from '../../src/core/reference.ts'
import { encodeHeader, tarEnd, tarPadding } from '../../src/io/tar.ts'
import { openArchive } from '../../src/oci/archive/open-archive.ts'
import { saveArchive } from '../../src/oci/archive/save-archive.ts'
import { saveDirectory } from '../../src/oci/archive/save-directory.ts'
import { copyImage } from '../../src/oci/copy.ts'
import { type Descriptor, mediaTypes } from '../../src/oci/descriptor.ts'
import { imageFor } from '../../src/oci/document.ts'
import { openStore } from '../../src/oci/store/store.ts'
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
