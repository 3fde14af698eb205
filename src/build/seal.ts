import type { CollectedImage } from '../core/cluster-metadata.ts'
import type { Context } from '../core/context.ts'
import { nodeName, parseReference } from '../core/reference.ts'
import type { Store } from '../oci/store/store.ts'
import { discoverImages, runtimeListPath } from '../workload/discover-images.ts'
import { blobsOf, type LaidImage, layoutBlobPath } from '../workload/image-layout.ts'
import { describeAsker, type ImageRequest } from '../workload/image-request.ts'
import { collectImages, findWanted } from './collect-images.ts'
import { type LayerSpec, roomFor } from './layers/layer-spec.ts'
import { detectRuntime } from './metadata.ts'
import type { PlannedTree } from './run-plan.ts'
import type { BuildSources } from './sources.ts'
import type { BuildTree } from './tree.ts'
import { readLaidImages } from './tree-images.ts'
import { treeView } from './tree-view.ts'

export interface SealOptions {
  readonly store: Store
  readonly sources: BuildSources
  readonly collect: 'auto' | 'never'
}

/** A finished tree with whatever container images it asks for, and what its Metadata says of them. */
export interface SealedTree {
  readonly planned: PlannedTree
  /** Images that the runtime's own list names, in full. */
  readonly runtimeImages: readonly string[]
  readonly collected: readonly CollectedImage[]
  /** Why it is not sealed. */
  readonly unsealed: readonly string[]
}

const createdBy = 'cloudimg: container images'

/** Collects what no earlier line has. An image that is no cluster's is left as it is. @throws as `collectImages` does. */
export async function sealTree(planned: PlannedTree, options: SealOptions, ctx: Context): Promise<SealedTree> {
  const { store, sources, collect } = options
  const isCluster = detectRuntime(planned.tree, planned.templates) !== undefined
  if (!isCluster) return { planned, runtimeImages: [], collected: [], unsealed: [] }
  const { requests } = await discoverImages(treeView(store, planned.tree, ctx), ctx)
  const layers =
    collect === 'never'
      ? []
      : await collectImages(
          requests,
          planned.tree,
          {
            store,
            sources,
            platform: planned.plan.platform,
            createdBy,
            mostLayers: roomFor((planned.base?.manifest.layers.length ?? 0) + planned.layers.length),
          },
          ctx,
        )
  const sealed = withLayers(planned, layers)
  const missing = collect === 'never' ? (await findWanted(requests, planned.tree, store, ctx)).size : 0
  return {
    planned: sealed,
    runtimeImages: requests.filter(({ file }) => file === runtimeListPath).map(({ image }) => image),
    collected: describeCollected(await readLaidImages(store, sealed.tree, ctx), requests, sealed.tree),
    unsealed: missing === 0 ? [] : [`--collect=never: ${missing} named images are not in it`],
  }
}

function withLayers(planned: PlannedTree, layers: readonly LayerSpec[]): PlannedTree {
  const { tree } = planned
  for (const entry of layers.flatMap(layer => layer.entries)) tree.put(entry)
  return { ...planned, tree, layers: [...planned.layers, ...layers], history: [...planned.history, ...layers] }
}

function describeCollected(
  laid: readonly LaidImage[],
  requests: readonly ImageRequest[],
  tree: BuildTree,
): readonly CollectedImage[] {
  const askers = Map.groupBy(
    requests.filter(({ image }) => isReference(image)),
    ({ image }) => nodeName(parseReference(image)),
  )
  return laid.map(image => ({
    name: image.name,
    digest: image.manifest.digest,
    size: blobsOf(image).reduce((sum, digest) => sum + sizeOf(tree, layoutBlobPath(digest)), 0),
    askedBy: [...new Set((askers.get(image.name) ?? []).map(describeAsker))].sort(),
  }))
}

function isReference(image: string): boolean {
  return !/^(?:docker-daemon|docker-archive|oci-archive|oci):/.test(image)
}

function sizeOf(tree: BuildTree, path: string): number {
  const entry = tree.get(path)
  return entry?.type === 'file' ? entry.size : 0
}
