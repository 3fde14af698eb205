import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cloudimgJson } from '../support/cloudimg.ts'
import { openContainerTools, type ContainerTools } from '../support/engines.ts'
import { parityCases, writeParityContext } from '../support/parity-corpus.ts'
import { makeTinyRelease, tinyVersion } from '../support/tiny-release.ts'
import { listTree, type TreeDifference, treeDifferences, type TreeListing } from '../support/tree-listing.ts'

/** Where BuildKit's rule and buildah's differ, cloudimg follows BuildKit (facts/oci.md §4.4); each with its reason. */
interface KnownDifference {
  readonly path: string
  readonly aspect: TreeDifference['aspect']
  readonly cloudimg: string
  readonly buildah: string
  readonly reason: string
}

const known = JSON.parse(
  await readFile(join(import.meta.dirname, '../parity/differences.json'), 'utf8'),
) as readonly KnownDifference[]

let tools: ContainerTools

beforeAll(async () => {
  tools = await openContainerTools()
})
afterAll(async () => {
  await tools[Symbol.asyncDispose]()
})

async function treeByBuildah(name: string, containerfile: string, context: string): Promise<TreeListing> {
  const file = join(tools.home, `${name}.Containerfile`)
  await writeFile(file, containerfile)
  await tools.buildah(['bud', '-q', '-f', file, '-t', `localhost/${name}:1`, context])
  const mount = await tools.podman(['image', 'mount', `localhost/${name}:1`])
  try {
    return listTree(mount)
  } finally {
    await tools.podman(['image', 'unmount', `localhost/${name}:1`])
  }
}

async function treeByCloudimg(
  name: string,
  kubefile: string,
  context: string,
  flags: readonly string[] = [],
): Promise<TreeListing> {
  const place = { home: join(tools.home, 'cloudimg') }
  const file = join(tools.home, `${name}.Kubefile`)
  const target = join(tools.home, `${name}-tree`)
  await writeFile(file, kubefile)
  await cloudimgJson(['build', '-f', file, '-t', `${name}:1`, ...flags, context], place)
  await cloudimgJson(['unpack', `${name}:1`, target], place)
  return listTree(target)
}

describe('the unpacked tree is what buildah makes of the same lines', () => {
  let differences: readonly TreeDifference[]
  let ours: TreeListing

  beforeAll(async () => {
    const context = join(tools.home, 'corpus')
    writeParityContext(context)
    const lines = ['FROM scratch', ...parityCases.flatMap(one => one.lines), ''].join('\n')
    const buildah = await treeByBuildah('corpus', lines, context)
    ours = await treeByCloudimg('corpus', lines, context)
    differences = treeDifferences(ours, buildah)
  })

  it.each(parityCases.map(one => one.name))('%s', name => {
    expect([...ours.keys()].some(path => path.startsWith(`${name}/`))).toBe(true)
    const found = differences.filter(({ path }) => path === name || path.startsWith(`${name}/`))
    const allowed = known.filter(({ path }) => path === name || path.startsWith(`${name}/`))
    expect(found).toEqual(
      allowed.map(({ path, aspect, cloudimg, buildah }) => ({ path, aspect, left: cloudimg, right: buildah })),
    )
  })

  it('and nothing beside', () => {
    const names = new Set(parityCases.map(one => one.name))
    expect(differences.filter(({ path }) => !names.has(path.split('/')[0]!))).toEqual([])
  })
})

describe('a cluster image', () => {
  it('is the release and the context, and one layer more', async () => {
    const release = await makeTinyRelease(join(tools.home, 'release'), { binaryBytes: 5_000_000 })
    const context = join(tools.home, 'cluster')
    await mkdir(join(context, 'manifests'), { recursive: true })
    await mkdir(join(context, 'etc'))
    await writeFile(join(context, 'manifests/namespace.yaml'), 'apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n')
    await writeFile(join(context, 'etc/registries.yaml'), 'mirrors: {}\n')
    const kubefile = await readFile(join(import.meta.dirname, '../../kubefiles/k3s/Kubefile'), 'utf8')
    const ours = await treeByCloudimg('cluster', kubefile, context, [
      '--build-arg',
      `K3S_VERSION=${tinyVersion}`,
      '--mirror',
      `k3s=${release.directory}`,
      '--platform',
      'linux/amd64',
    ])
    const both = join(tools.home, 'both')
    await mkdir(both)
    await cp(release.tagDirectory, join(both, 'release'), { recursive: true })
    await cp(context, join(both, 'context'), { recursive: true })
    const theirs = await treeByBuildah(
      'cluster',
      `FROM scratch
COPY --chmod=0755 release/k3s /bin/k3s
COPY --chmod=0644 release/k3s-airgap-images-amd64.tar.zst release/k3s-images.txt /images/
COPY --chmod=0755 release/install.sh /scripts/k3s-install.sh
COPY context/ /
`,
      both,
    )
    expect(treeDifferences(ours, theirs)).toEqual(
      ['Kubefile', 'Metadata', 'scripts/cloudimg-node'].map(path => ({
        path,
        aspect: 'presence',
        left: 'file',
        right: 'absent',
      })),
    )
  })
})
