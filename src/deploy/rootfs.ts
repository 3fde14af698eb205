import { join } from 'node:path/posix'
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { type ClusterMetadata, parseClusterMetadata } from '../core/cluster-metadata.ts'
import { type Digest, digestOf } from '../core/digest.ts'
import { formatPlatform } from '../core/platform.ts'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { formatReference, parseReference } from '../core/reference.ts'
import type { HostFacts } from '../host/facts.ts'
import type { ReadonlyHost } from '../host/host.ts'
import type { RootfsFile } from '../oci/rootfs-file.ts'
import { runtimeListPath } from '../workload/discover-images.ts'
import { parseImageList } from '../workload/image-list.ts'
import { packageFile } from '../io/package-file.ts'
import { readNodeRecord } from './cluster-id.ts'
import type { DeployPlatform } from './deploy-image.ts'
import { refuseOddNames, rootfsDirectory } from './missing-files.ts'

/** One platform's tree, and what of its content planning needs. */
export interface Rootfs {
  readonly platform: DeployPlatform
  readonly tree: readonly RootfsFile[]
  /** The text of `scripts/cloudimg-node`. */
  readonly installer: string
  /** Every container image that a node shall have, in full names. */
  readonly images: readonly string[]
  /** Those of them that the runtime brings itself. */
  readonly ownImages: readonly string[]
  /** What lies on the host, where nothing is brought. */
  readonly installed?: ReadonlyMap<string, { readonly digest: Digest }>
}

/** @throws IMAGE_INVALID where the image brings no installer, or names that hosts could not verify. */
export async function openRootfs(platform: DeployPlatform, reference: string, ctx: Context): Promise<Rootfs> {
  const tree = await platform.listRootfs(ctx)
  refuseOddNames(tree, reference)
  const installer = await readText(tree, 'scripts/cloudimg-node', ctx)
  if (installer === undefined) {
    throw new CloudimgError('IMAGE_INVALID', `deploying "${reference}": it has no scripts/cloudimg-node`, {
      hint: 'build it without --no-installer, from a tree with bin/k3s',
    })
  }
  const images = await expectedImages(platform.metadata, path => readText(tree, path, ctx))
  return { platform, tree, installer, ...images }
}

/**
 * What a node runs already, for actions that bring nothing: its tree is empty, as nothing of it will be sent.
 * @throws HOST_UNSUITABLE where the machine is no node of a cluster that cloudimg made.
 */
export async function openInstalledRootfs(facts: HostFacts, host: ReadonlyHost, ctx: Context): Promise<Rootfs> {
  const digest = readNodeRecord(facts)?.digest
  const read = async (path: string): Promise<string | undefined> =>
    digest === undefined ? undefined : await host.read(join(rootfsDirectory(digest), path), ctx)
  const [metadata, installer] = [await read('Metadata'), await read('scripts/cloudimg-node')]
  if (digest === undefined || metadata === undefined || installer === undefined)
    throw new CloudimgError(
      'HOST_UNSUITABLE',
      `looking at "${host.name}": it is no node of a cluster that cloudimg made`,
      {
        hint: 'name a host of the cluster',
        data: { host: host.name },
      },
    )
  const platform = {
    platform: facts.platform,
    digest,
    metadata: parseClusterMetadata(metadata),
    listRootfs: () => Promise.resolve([]),
  }
  const sums = (await host.read(`${rootfsDirectory(digest)}.staged`, ctx)) ?? ''
  return {
    platform,
    tree: [],
    installer,
    ...(await expectedImages(platform.metadata, read)),
    installed: new Map(
      [...sums.matchAll(/^([0-9a-f]{64}) {2}(.+)$/gm)].map(([, sum, path]) => [path!, { digest: `sha256:${sum!}` }]),
    ),
  }
}

/** For machines on which nothing is left: a reset that was cut off at its very end still has locks to give back. */
export async function emptyRootfs({ platform }: HostFacts): Promise<Rootfs> {
  const installer = await readFile(packageFile('scripts/cloudimg-node'), 'utf8')
  const metadata: ClusterMetadata = {
    apiVersion: 'cloudimg.io/v1',
    kind: 'ClusterImage',
    runtime: 'k3s',
    platform: formatPlatform(platform),
    sealed: true,
    unsealed: [],
    artifacts: [],
    features: [],
    components: {},
    images: [],
  }
  const none = { platform, digest: digestOf(''), metadata, listRootfs: () => Promise.resolve([]) }
  return { platform: none, tree: [], installer, images: [], ownImages: [] }
}

/** The runtime's own, and whatever the build has collected. */
async function expectedImages(
  { images, collected = [] }: ClusterMetadata,
  read: (path: string) => Promise<string | undefined>,
): Promise<Pick<Rootfs, 'images' | 'ownImages'>> {
  const full = (name: string): string => formatReference(parseReference(name))
  const { requests } = parseImageList((await read(runtimeListPath)) ?? '', runtimeListPath)
  const own = new Set([...images.map(full), ...requests.map(({ image }) => image)])
  const all = new Set([...own, ...collected.map(image => full(image.name))])
  return { images: [...all].sort(), ownImages: [...own].sort() }
}

async function readText(tree: readonly RootfsFile[], path: string, ctx: Context): Promise<string | undefined> {
  const file = tree.find(entry => entry.path === path)
  return file?.type === 'file' ? await text(await file.open(ctx)) : undefined
}
