import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/digest.ts'
import { cloudimg, cloudimgJson, type CloudimgPlace } from '../support/cloudimg.ts'
import { type CloudimgServer, startCloudimgServer } from '../support/cloudimg-server.ts'
import {
  type ContainerdEngine,
  type ContainerTools,
  type DockerEngine,
  openContainerTools,
  startContainerd,
  startDockerd,
} from '../support/engines.ts'
import { type BuildAnswer, buildK3s } from '../support/k3s-build.ts'
import { type RealRegistry, startRealRegistry } from '../support/real-registry.ts'
import { makeTinyRelease } from '../support/tiny-release.ts'
import { listTree, treeDifferences, type TreeListing } from '../support/tree-listing.ts'

let tools: ContainerTools
let docker: DockerEngine
let containerd: ContainerdEngine
let registry: RealRegistry
let place: CloudimgPlace

const at = (...parts: string[]): string => join(tools.home, ...parts)
const parts: AsyncDisposable[] = []

beforeAll(async () => {
  const use = <T extends AsyncDisposable>(part: T): T => {
    parts.push(part)
    return part
  }
  tools = use(await openContainerTools())
  docker = use(await startDockerd())
  containerd = use(await startContainerd())
  registry = use(await startRealRegistry())
  place = { home: at('cloudimg') }
})
afterAll(async () => {
  for (const part of parts.reverse()) await part[Symbol.asyncDispose]()
})

const insecure = '--tls-verify=false'

async function writeContext(): Promise<void> {
  await mkdir(at('context/manifests'), { recursive: true })
  await mkdir(at('context/scripts'))
  await writeFile(at('context/manifests/a.yaml'), 'apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n')
  await writeFile(at('context/scripts/hook'), '#!/bin/sh\n', { mode: 0o755 })
  // Enough to shrink, so that a compressed layer is part of what the tools take.
  await writeFile(at('context/words'), 'over and over again\n'.repeat(100_000))
}

describe('kubefiles/k3s for two platforms', () => {
  let built: BuildAnswer
  let gzipped: BuildAnswer
  let embedded: CloudimgServer
  let tree: TreeListing

  beforeAll(async () => {
    await writeContext()
    const release = await makeTinyRelease(at('release'), { binaryBytes: 5_000_000 })
    const common = { directory: at('build'), context: at('context'), mirror: release.directory }
    built = await buildK3s({ ...common, tag: 'registry.test/k3s:1' }, place)
    gzipped = await buildK3s({ ...common, tag: 'registry.test/k3s:gzip', flags: ['--compression', 'gzip'] }, place)
    embedded = await startCloudimgServer(place, at('embedded.log'))
    parts.push(embedded)
    for (const tag of ['1', 'gzip']) {
      await cloudimgJson(['push', `registry.test/k3s:${tag}`, `${registry.host}/k3s:${tag}`], place)
    }
    await cloudimgJson(['save', '-o', at('hybrid.tar'), 'registry.test/k3s:1'], place)
    await cloudimgJson(['unpack', 'registry.test/k3s:1', at('tree'), '--platform', 'linux/amd64'], place)
    tree = listTree(at('tree'))
  })

  const embeddedImage = (): string => `${embedded.host}/registry.test/k3s:1`
  const realImage = (): string => `${registry.host}/k3s:1`

  it('is an index with both, whose common layers are the same bytes', async () => {
    const index = JSON.parse(await tools.skopeo(['inspect', '--raw', insecure, `docker://${realImage()}`])) as {
      manifests: { digest: string; platform: object }[]
    }
    expect(index.manifests.map(({ digest, platform }) => ({ digest, platform }))).toEqual([
      { digest: built.platforms[0]?.manifest, platform: { architecture: 'amd64', os: 'linux' } },
      { digest: built.platforms[1]?.manifest, platform: { architecture: 'arm64', os: 'linux' } },
    ])
    const [amd64, arm64] = built.platforms.map(({ layers }) => layers.map(layer => layer.digest))
    const common = amd64?.filter(digest => arm64?.includes(digest))
    // The context; the release's files are for one platform, and Metadata names it.
    expect(common).toHaveLength(1)
    expect(built.platforms[0]?.layers.find(({ digest }) => digest === common?.[0])?.mediaType).toMatch(/tar\+zstd$/)
  })

  it('has the same content however it is packed', () => {
    const diffIds = ({ platforms }: BuildAnswer): readonly (readonly string[])[] =>
      platforms.map(({ layers }) => layers.map(layer => layer.diffId))
    expect(diffIds(gzipped)).toEqual(diffIds(built))
    expect(gzipped.index).not.toBe(built.index)
  })

  it('is copied by skopeo as it stands, from the embedded registry and from Debian’s', async () => {
    const flags = ['copy', '-q', '--all', '--preserve-digests', '--src-tls-verify=false', '--dest-tls-verify=false']
    for (const [from, to] of [
      [embeddedImage(), `${registry.host}/from-embedded:1`],
      [realImage(), `${registry.host}/from-real:1`],
      [realImage(), `${embedded.host}/registry.test/from-real:1`],
    ] as const) {
      await tools.skopeo([...flags, `docker://${from}`, `docker://${to}`])
      expect(await tools.skopeo(['inspect', '--format', '{{.Digest}}', insecure, `docker://${to}`])).toBe(built.index)
    }
    // What is pushed to the embedded registry is an image of the local store, by the name that it was pushed to.
    const pushed = `${embedded.host}/registry.test/from-real:1`
    await cloudimgJson(['unpack', pushed, at('from-real'), '--platform', 'linux/amd64'], place)
    expect(treeDifferences(listTree(at('from-real')), tree)).toEqual([])
  })

  it('can be read in parts where a layer is a recipe, across its seams', async () => {
    const layer = built.platforms[0]!.layers.find(({ size }) => size > 5_000_000)!
    const url = `http://${embedded.host}/v2/registry.test/k3s/blobs/${layer.digest}`
    const whole = Buffer.from(await (await fetch(url)).arrayBuffer())
    expect(digestOf(whole)).toBe(layer.digest)
    // A header of 512 bytes, then the file, its padding and the end.
    for (const [from, to] of [
      [0, 511],
      [500, 600],
      [512, 512],
      [4_999_900, 5_000_600],
      [layer.size - 1100, layer.size - 1],
    ] as const) {
      const response = await fetch(url, { headers: { range: `bytes=${from}-${to}` } })
      expect(response.status).toBe(206)
      expect(Buffer.from(await response.arrayBuffer()).equals(whole.subarray(from, to + 1))).toBe(true)
    }
  })

  it.each(['embedded', 'real'])('is pulled by podman from the %s registry', async kind => {
    const image = kind === 'embedded' ? embeddedImage() : realImage()
    await tools.podman(['pull', '-q', insecure, image])
    const mount = await tools.podman(['image', 'mount', image])
    expect(treeDifferences(listTree(mount), tree)).toEqual([])
    await tools.podman(['image', 'unmount', image])
    await tools.podman(['pull', '-q', insecure, '--arch', 'arm64', image])
    expect(await tools.podman(['image', 'inspect', '-f', '{{.Architecture}}', image])).toBe('arm64')
    await tools.podman(['rmi', '-f', image])
  })

  // docker before version 23 takes no zstd from a registry; what `save` writes has it unpacked for those.
  it.each(['embedded', 'real'])('is pulled by docker from the %s registry where it is packed with gzip', async kind => {
    const image = `${kind === 'embedded' ? `${embedded.host}/registry.test` : registry.host}/k3s:gzip`
    await docker.docker(['pull', '-q', image])
    expect(await docker.docker(['image', 'inspect', '-f', '{{.Id}}', image])).toBe(gzipped.platforms[0]?.config)
  })

  it('is loaded by docker', async () => {
    expect(await docker.docker(['load', '-i', at('hybrid.tar')])).toContain('registry.test/k3s:1')
    expect(await docker.docker(['image', 'inspect', '-f', '{{.Id}}', 'registry.test/k3s:1'])).toBe(
      built.platforms[0]?.config,
    )
    await docker.docker(['create', '--network', 'none', '--name', 'loaded', 'registry.test/k3s:1', 'nothing'])
    await docker.docker(['cp', 'loaded:/manifests/a.yaml', at('docker-copy')])
    expect(await readFile(at('docker-copy'), 'utf8')).toContain('kind: Namespace')
  })

  it('is imported by ctr, both platforms', async () => {
    await containerd.ctr(['images', 'import', '--all-platforms', at('hybrid.tar')])
    expect(await containerd.ctr(['images', 'ls'])).toMatch(
      new RegExp(`registry.test/k3s:1 .*${built.index}.*amd64,linux/arm64`),
    )
    await mkdir(at('ctr-mount'))
    await containerd.ctr(['images', 'mount', 'registry.test/k3s:1', at('ctr-mount')])
    expect(treeDifferences(listTree(at('ctr-mount')), tree)).toEqual([])
    await containerd.ctr(['images', 'unmount', at('ctr-mount')])
  })

  it('is loaded by podman', async () => {
    await tools.podman(['load', '-q', '-i', at('hybrid.tar')])
    const mount = await tools.podman(['image', 'mount', 'registry.test/k3s:1'])
    expect(treeDifferences(listTree(mount), tree)).toEqual([])
    await tools.podman(['image', 'unmount', 'registry.test/k3s:1'])
  })

  it('is unpacked by umoci from the layout of one platform, packed with gzip', async () => {
    const layout = at('layout')
    const flags = ['--format', 'oci-dir', '--platform', 'linux/amd64', '-o', layout]
    await cloudimgJson(['save', ...flags, 'registry.test/k3s:gzip'], place)
    await tools.umoci(['unpack', '--image', `${layout}:gzip`, at('bundle')])
    expect(treeDifferences(listTree(at('bundle/rootfs')), tree)).toEqual([])
  })

  it('comes back whole by pull, and by load', async () => {
    const other = { home: at('other') }
    await cloudimgJson(['pull', realImage()], other)
    await cloudimgJson(['load', '-i', at('hybrid.tar')], other)
    const names = ['registry.test/k3s:1', realImage()]
    for (const name of names) {
      const { code, stdout } = await cloudimg(['inspect', name], other)
      expect(code).toBe(0)
      expect(stdout).toContain(built.index)
      await cloudimgJson(['unpack', name, at(`back-${names.indexOf(name)}`), '--platform', 'linux/amd64'], other)
      expect(treeDifferences(listTree(at(`back-${names.indexOf(name)}`)), tree)).toEqual([])
    }
  })
})

describe('more files of 4 MiB than an image can have layers', () => {
  const files = 104
  const image = 'registry.test/large:1'
  let built: BuildAnswer

  beforeAll(async () => {
    await mkdir(at('large'))
    for (let number = 0; number < files; number++) {
      const handle = await open(at(`large/file-${number}`), 'w')
      // Holes but for a number: 4 MiB that cost nothing on the disk.
      await handle.write(`${number}\n`)
      await handle.truncate(4 << 20)
      await handle.close()
    }
    await writeFile(at('large.Kubefile'), 'FROM scratch\nCOPY large/ /large/\n')
    built = await cloudimgJson(['build', '-f', at('large.Kubefile'), '-t', image, at()], place)
    await cloudimgJson(['save', '-o', at('large.tar'), image], place)
  })

  /** Names and first lines: reading it all four times would take longer than loading it. */
  const numbers = async (root: string): Promise<readonly string[]> => {
    const names = (await readdir(join(root, 'large'))).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    return await Promise.all(
      names.map(async name => {
        const handle = await open(join(root, 'large', name))
        const { buffer } = await handle.read(Buffer.alloc(8), 0, 8, 0)
        const { size } = await handle.stat()
        await handle.close()
        return `${name} ${buffer.toString('latin1').split('\n')[0]} ${size}`
      }),
    )
  }
  const expected = Array.from({ length: files }, (_, number) => `file-${number} ${number} ${4 << 20}`)

  it('are packed into 100 at most, and all are there', async () => {
    const layers = built.platforms[0]?.layers.length ?? 0
    expect(layers).toBeGreaterThan(90)
    expect(layers).toBeLessThanOrEqual(100)
    await cloudimgJson(['unpack', image, at('large-tree')], place)
    expect(treeDifferences(listTree(at('large-tree/large')), listTree(at('large')))).toEqual([])
  })

  it('podman loads them', async () => {
    await tools.podman(['load', '-q', '-i', at('large.tar')])
    expect(await numbers(await tools.podman(['image', 'mount', image]))).toEqual(expected)
    await tools.podman(['image', 'unmount', image])
  })

  it('docker loads them', async () => {
    await docker.docker(['load', '-q', '-i', at('large.tar')])
    expect(await docker.docker(['image', 'inspect', '-f', '{{.Id}}', image])).toBe(built.platforms[0]?.config)
  })

  it('ctr imports them', async () => {
    await containerd.ctr(['images', 'import', at('large.tar')])
    await mkdir(at('ctr-large'))
    await containerd.ctr(['images', 'mount', image, at('ctr-large')])
    expect(await numbers(at('ctr-large'))).toEqual(expected)
    await containerd.ctr(['images', 'unmount', at('ctr-large')])
  })

  it('skopeo copies them between registries', async () => {
    await cloudimgJson(['push', image, `${registry.host}/large:1`], place)
    const flags = ['copy', '-q', '--all', '--preserve-digests', '--src-tls-verify=false', '--dest-tls-verify=false']
    const copy = `docker://${registry.host}/large:2`
    await tools.skopeo([...flags, `docker://${registry.host}/large:1`, copy])
    expect(await tools.skopeo(['inspect', '--format', '{{.Digest}}', insecure, copy])).toBe(built.index)
  })
})
