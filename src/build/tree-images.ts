import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import type { Platform } from '../core/platform.ts'
import { nodeName, parseReference } from '../core/reference.ts'
import type { Store } from '../oci/store/store.ts'
import { type LaidImage, layoutDirectory, layoutListPath, parseLayoutList } from '../workload/image-layout.ts'
import { describeAsker, type ImageRequest } from '../workload/image-request.ts'
import type { BroughtImage } from './base-images.ts'
import { archiveImages } from './known-archive-images.ts'
import type { LocalImages } from './local-images.ts'
import { inheritedMetadata } from './metadata.ts'
import type { BuildTree, TreeFile } from './tree.ts'
import { contentIdentity, localPath, readTreeText } from './tree-content.ts'

/** The images that earlier lines, or the base image, have collected. @throws CONTEXT_INVALID for a layout of another's making. */
export async function readLaidImages(store: Store, tree: BuildTree, ctx: Context): Promise<readonly LaidImage[]> {
  const list = tree.get(layoutListPath)
  if (list?.type === 'file') return parseLayoutList(await readTreeText(store, list, ctx))
  if (tree.get(layoutDirectory) === undefined || tree.list(layoutDirectory).length === 0) return []
  throw new CloudimgError('CONTEXT_INVALID', `collecting container images: "${layoutDirectory}" is taken already`, {
    hint: `leave the directory out of the tree, and name it in manifests/imageList: oci:PATH`,
  })
}

/** The requests, without what a base image's build has taken from archives of its own: those need not be here. */
export async function unsettled(
  requests: readonly ImageRequest[],
  store: Store,
  tree: BuildTree,
  ctx: Context,
): Promise<readonly ImageRequest[]> {
  const before = await inheritedMetadata(store, tree, ctx)
  const settled = new Set((before?.collected ?? []).flatMap(({ askedBy }) => askedBy))
  return requests.filter(request => request.source === undefined || !settled.has(describeAsker(request)))
}

/** What the node's runtime imports by itself: the images of upstream's archives, which are delivered as they are. */
export async function archivedImages(
  store: Store,
  tree: BuildTree,
  platform: Platform,
  ctx: Context,
): Promise<ReadonlySet<string>> {
  const names = new Set<string>()
  for (const file of archivesIn(tree).filter(archive => upstreamArch(archive) === platform.arch))
    for (const name of await namesIn(store, file, ctx)) names.add(nodeName(parseReference(name)))
  return names
}

/** The wanted images of the other archives below images/: no runtime takes those by itself. */
export async function loadTreeArchives(
  store: Store,
  tree: BuildTree,
  local: LocalImages,
  wanted: readonly string[],
  ctx: Context,
): Promise<readonly BroughtImage[]> {
  const found: BroughtImage[] = []
  for (const file of archivesIn(tree).filter(archive => upstreamArch(archive) === undefined)) {
    const names = (await namesIn(store, file, ctx)).map(name => nodeName(parseReference(name)))
    if (!names.some(name => wanted.includes(name))) continue
    found.push(...(await local.loadFile((await localPath(store, file, ctx))!, file.path, ctx)))
  }
  return found
}

function archivesIn(tree: BuildTree): readonly TreeFile[] {
  return tree.list('images').flatMap(path => {
    const file = tree.get(path)
    const isArchive = file?.type === 'file' && /\.(?:tar|tgz|tzst)(?:\.(?:gz|zst))?$/.test(path)
    return isArchive && file.content.from !== 'memory' ? [file] : []
  })
}

/** Of `k3s-airgap-images-amd64.tar.zst` (facts/k3s.md §2.1): `amd64`. A node takes that of its own architecture. */
function upstreamArch({ path }: TreeFile): string | undefined {
  return /^images\/[a-z0-9]+-airgap-images-([a-z0-9]+)\.tar/.exec(path)?.[1]
}

async function namesIn(store: Store, file: TreeFile, ctx: Context): Promise<readonly string[]> {
  const path = async (): Promise<string> => (await localPath(store, file, ctx))!
  return await archiveImages(store, { path, name: file.path, ...contentIdentity(file) }, ctx)
}
