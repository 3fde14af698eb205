import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import type { Store } from '../oci/store/store.ts'
import { type ImageRequest, parseImageList } from '../workload/image-list.ts'
import { findManifestImages } from '../workload/manifest-images.ts'
import { archiveImages } from './known-archive-images.ts'
import { applicationsPath } from './plan-application.ts'
import type { BuildTree } from './tree.ts'
import { contentIdentity, localPath, readTreeText } from './tree-content.ts'

export interface ImageFindings {
  /** Images that the runtime's own list names, in full. */
  readonly runtimeImages: readonly string[]
  /** Images that somebody asks for and no archive in the tree has. */
  readonly missing: readonly ImageRequest[]
}

/** Which images the finished tree names, and which of them its archives below images/ bring along. */
export async function checkImages(store: Store, tree: BuildTree, ctx: Context): Promise<ImageFindings> {
  const requests = await findRequests(store, tree, ctx)
  const runtimeImages = await readRuntimeImages(store, tree, ctx)
  if (requests.length === 0) return { runtimeImages, missing: [] }
  const present = await imagesInArchives(store, tree, ctx)
  return { runtimeImages, missing: requests.filter(request => !present.has(request.image)) }
}

/** @throws IMAGE_UNRESOLVED naming each image and the line that asks for it. */
export function refuseMissingImages(missing: readonly ImageRequest[]): void {
  if (missing.length === 0) return
  const lines = missing.map(({ image, file, line }) => `${image} (${file}:${line})`)
  throw new CloudimgError(
    'IMAGE_UNRESOLVED',
    `sealing the image: ${missing.length} images are named but not in it: ${lines.join(', ')}`,
    {
      hint: 'put an archive that has them into images/, or build with --collect=never and bring them to the hosts yourself',
      data: { missing: missing.length },
    },
  )
}

async function findRequests(store: Store, tree: BuildTree, ctx: Context): Promise<readonly ImageRequest[]> {
  const list = tree.findIgnoringCase('manifests', 'imageList')
  const requests: ImageRequest[] =
    list === undefined ? [] : [...parseImageList(await readTreeText(store, list, ctx), list.path)]
  for (const file of [...tree.files('manifests'), ...tree.files(applicationsPath)]) {
    if (/\.ya?ml$/i.test(file.path))
      requests.push(...findManifestImages(await readTreeText(store, file, ctx), file.path))
  }
  return requests
}

async function readRuntimeImages(store: Store, tree: BuildTree, ctx: Context): Promise<readonly string[]> {
  const list = tree.get('images/k3s-images.txt')
  return list?.type === 'file'
    ? parseImageList(await readTreeText(store, list, ctx), list.path).map(request => request.image)
    : []
}

async function imagesInArchives(store: Store, tree: BuildTree, ctx: Context): Promise<ReadonlySet<string>> {
  const present = new Set<string>()
  for (const path of tree.list('images')) {
    const file = tree.get(path)
    if (file?.type !== 'file' || !/\.(?:tar|tgz|tzst)(?:\.(?:gz|zst))?$/.test(path)) continue
    if (file.content.from === 'memory') continue
    const local = async (): Promise<string> => (await localPath(store, file, ctx))!
    const archive = { path: local, name: path, ...contentIdentity(file) }
    for (const name of await archiveImages(store, archive, ctx)) present.add(name)
  }
  return present
}
