import { text } from 'node:stream/consumers'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { formatReference, parseReference } from '../core/reference.ts'
import type { RootfsFile } from '../oci/rootfs-file.ts'
import { runtimeListPath } from '../workload/discover-images.ts'
import { parseImageList } from '../workload/image-list.ts'
import type { DeployPlatform } from './deploy-image.ts'
import { refuseOddNames } from './missing-files.ts'

/** One platform's tree, and what of its content planning needs. */
export interface Rootfs {
  readonly platform: DeployPlatform
  readonly tree: readonly RootfsFile[]
  /** The text of `scripts/cloudimg-node`. */
  readonly installer: string
  /** Every container image that a node shall have, in full names. */
  readonly images: readonly string[]
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
  return { platform, tree, installer, images: await expectedImages(platform, tree, ctx) }
}

/** The runtime's own, and whatever the build has collected. */
async function expectedImages(
  platform: DeployPlatform,
  tree: readonly RootfsFile[],
  ctx: Context,
): Promise<readonly string[]> {
  const { images, collected = [] } = platform.metadata
  const named = [...images, ...collected.map(image => image.name)]
  const names = new Set(named.map(name => formatReference(parseReference(name))))
  const list = await readText(tree, runtimeListPath, ctx)
  for (const { image } of parseImageList(list ?? '', runtimeListPath).requests) names.add(image)
  return [...names].sort()
}

async function readText(tree: readonly RootfsFile[], path: string, ctx: Context): Promise<string | undefined> {
  const file = tree.find(entry => entry.path === path)
  return file?.type === 'file' ? await text(await file.open(ctx)) : undefined
}
