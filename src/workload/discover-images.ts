import type { Context } from '../core/context.ts'
import { parseImageList } from './image-list.ts'
import type { ImageRequest } from './image-request.ts'
import { findManifestImages } from './manifest-images.ts'
import type { WorkloadTree } from './workload-tree.ts'

/** Everything that a rootfs says about container images. */
export interface Discovery {
  readonly requests: readonly ImageRequest[]
}

export const runtimeListPath = 'images/k3s-images.txt'

export async function discoverImages(tree: WorkloadTree, _ctx: Context): Promise<Discovery> {
  const requests: ImageRequest[] = []
  for (const file of tree.files('images'))
    if (file.path === runtimeListPath)
      requests.push(...parseImageList((await tree.read(file)).toString('utf8'), file.path))
  for (const file of tree.files('manifests')) {
    const text = async (): Promise<string> => (await tree.read(file)).toString('utf8')
    if (file.path.toLowerCase() === 'manifests/imagelist') requests.push(...parseImageList(await text(), file.path))
    else if (/\.ya?ml$/i.test(file.path)) requests.push(...findManifestImages(await text(), file.path))
  }
  return { requests }
}
