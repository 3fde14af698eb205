import type { Context } from '../core/context.ts'
import { each } from '../core/each.ts'
import type { Platform } from '../core/platform.ts'
import type { Store } from '../oci/store/store.ts'
import { discoverImages } from '../workload/discover-images.ts'
import type { RenderChart } from '../workload/render-chart.ts'
import { findWanted } from './collect-images.ts'
import type { BuildSources } from './sources.ts'
import type { BuildTree } from './tree.ts'
import { unsettled } from './tree-images.ts'
import { treeView } from './tree-view.ts'

export interface Pinning {
  readonly store: Store
  readonly platform: Platform
  readonly sources: Pick<BuildSources, 'images' | 'local'>
  readonly render: RenderChart
}

/** Resolves and pins what the tree asks for and does not have; no layer is fetched but those of archives. */
export async function pinImages(
  tree: BuildTree,
  { store, platform, sources, render }: Pinning,
  ctx: Context,
): Promise<void> {
  const found = await discoverImages(treeView(store, tree, ctx), { render }, ctx)
  const requests = await unsettled(found.requests, store, tree, ctx)
  for (const { source } of requests) if (source !== undefined) await sources.local.load(source, ctx)
  const wanted = await findWanted(requests, tree, { store, platform }, ctx)
  await each(wanted.values(), 8, async ([first]) => {
    if (first !== undefined) await sources.images.pin(first.image, ctx)
  })
}
