import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { each } from '../../src/core/each.ts'
import type { ImageConfig } from '../../src/oci/image.ts'
import type { ContainerTools } from './engines.ts'
import type { BuiltHere } from './build-here.ts'
import { listTree } from './tree-listing.ts'

export interface BuildahBuild {
  readonly name: string
  readonly lines: string
  readonly context: string
  readonly buildArgs?: Readonly<Record<string, string>>
  readonly target?: string
}

/** All builds by buildah, several at once in one store; the trees are mounted together. By name. */
export async function buildWithBuildah(
  tools: ContainerTools,
  builds: readonly BuildahBuild[],
): Promise<ReadonlyMap<string, BuiltHere>> {
  await mkdir(join(tools.home, 'batch'), { recursive: true })
  const ids = await each(builds, 3, build => buildOne(tools, build))
  const mounted = await tools.podman(['image', 'mount', '--format', 'json', ...ids])
  const mounts = new Map(
    (JSON.parse(mounted) as readonly { id: string; mountpoint: string }[]).map(({ id, mountpoint }) => [
      id,
      mountpoint,
    ]),
  )
  try {
    const built = await each(builds, 4, async ({ name }, index) => {
      const { config = {}, author } = await readConfig(tools, ids[index]!)
      return [name, { tree: listTree(mounts.get(ids[index]!)!), config, author }] as const
    })
    return new Map(built)
  } finally {
    await tools.podman(['image', 'unmount', ...ids])
  }
}

async function buildOne(tools: ContainerTools, build: BuildahBuild): Promise<string> {
  const at = join(tools.home, 'batch', build.name)
  await writeFile(`${at}.file`, build.lines)
  const flags = [
    ...Object.entries(build.buildArgs ?? {}).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
    ...(build.target === undefined ? [] : ['--target', build.target]),
  ]
  const own = ['bud', '-q', '--format=docker', '--iidfile', `${at}.id`, '-f', `${at}.file`]
  await tools.buildah([...own, ...flags, build.context])
  return (await readFile(`${at}.id`, 'utf8')).trim().replace(/^sha256:/, '')
}

/** The config as it is, from where containers/storage keeps it: `buildah inspect` takes a third of a second for each. */
async function readConfig(tools: ContainerTools, id: string): Promise<ImageConfig> {
  const name = `=${Buffer.from(`sha256:${id}`).toString('base64')}`
  return JSON.parse(await readFile(join(tools.home, 'storage/overlay-images', id, name), 'utf8')) as ImageConfig
}
