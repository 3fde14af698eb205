import type { CollectedImage } from '../core/cluster-metadata.ts'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { nodeName, parseReference } from '../core/reference.ts'
import type { Store } from '../oci/store/store.ts'
import { discoverImages, runtimeListPath } from '../workload/discover-images.ts'
import type { Discovery, UnreadableReason } from '../workload/discovery.ts'
import { isReference } from '../workload/image-name.ts'
import { blobsOf, type LaidImage, layoutBlobPath } from '../workload/image-layout.ts'
import { describeAsker, type ImageRequest } from '../workload/image-request.ts'
import type { RenderChart } from '../workload/render-chart.ts'
import { collectImages, findWanted } from './collect-images.ts'
import { type LayerSpec, roomFor } from './layers/layer-spec.ts'
import { detectRuntime } from './metadata.ts'
import type { PlannedTree } from './run-plan.ts'
import type { BuildSources } from './sources.ts'
import type { BuildTree } from './tree.ts'
import { readLaidImages, unsettled } from './tree-images.ts'
import { treeView } from './tree-view.ts'

export interface SealOptions {
  readonly store: Store
  readonly sources: BuildSources
  readonly collect: 'auto' | 'never'
  readonly render: RenderChart
  /** Images that cannot be had, and files that cannot be read, do not stop the build: it is not sealed. */
  readonly allowUnresolved: boolean
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

/**
 * Collects what no earlier line has. An image that is no cluster's is left as it is.
 * @throws as `collectImages` does; IMAGE_UNRESOLVED for what asks for images and cannot be read.
 */
export async function sealTree(planned: PlannedTree, options: SealOptions, ctx: Context): Promise<SealedTree> {
  const { store, sources, collect, render, allowUnresolved } = options
  const isCluster = detectRuntime(planned.tree, planned.templates) !== undefined
  if (!isCluster) return { planned, runtimeImages: [], collected: [], unsealed: [] }
  const discovery = await discoverImages(treeView(store, planned.tree, ctx), { render }, ctx)
  const requests = await unsettled(discovery.requests, store, planned.tree, ctx)
  const unsealed = [...planned.unsealed]
  let [sealed, askers] = [planned, requests]
  if (collect === 'never') {
    const place = { store, platform: planned.plan.platform }
    const onThisMachine = requests.filter(({ source }) => source !== undefined).length
    const missing = (await findWanted(requests, planned.tree, place, ctx)).size + onThisMachine
    if (missing > 0) unsealed.push(`--collect=never: ${missing} named images are not in it`)
  } else {
    unsealed.push(...judgeUnreadable(discovery, allowUnresolved))
    warn(discovery, ctx)
    const { platform } = planned.plan
    const mostLayers = roomFor((planned.base?.manifest.layers.length ?? 0) + planned.layers.length)
    const collecting = { store, sources, platform, createdBy, mostLayers, allowMissing: allowUnresolved }
    const { layers, missing } = await collectImages(requests, planned.tree, collecting, ctx)
    sealed = withLayers(planned, layers)
    askers = await namedOneByOne(requests, sources, ctx)
    unsealed.push(...missing.map(why => `--allow-unresolved: ${why}`))
  }
  return {
    planned: sealed,
    runtimeImages: requests.filter(({ file }) => file === runtimeListPath).map(({ image }) => image),
    collected: describeCollected(await readLaidImages(store, sealed.tree, ctx), askers, sealed.tree),
    unsealed,
  }
}

/** Where images may be asked for that nobody can know. */
const hiding: ReadonlySet<UnreadableReason> = new Set([
  'broken-yaml',
  'template',
  'bad-reference',
  'chart-not-in-tree',
  'broken-chart',
])

/** What the Metadata will say of it. @throws IMAGE_UNRESOLVED unless that is allowed. */
function judgeUnreadable({ unreadable }: Discovery, allowed: boolean): readonly string[] {
  const found = unreadable.filter(({ why }) => hiding.has(why))
  if (found.length === 0) return []
  const places = found.map(({ file, line, why }) => `${file}:${line} (${why})`).join(', ')
  if (allowed) return [`--allow-unresolved: what these places ask for is not known: ${places}`]
  throw new CloudimgError('IMAGE_UNRESOLVED', `looking for container images: these cannot be read: ${places}`, {
    hint: 'mend them or leave them out of the tree (cloudimg deps DIR shows all of it), or build with --allow-unresolved',
    data: { unreadable: found.length },
  })
}

const shown = 10

/** What a person has to decide, and how charts were read. */
function warn({ guesses, unreadable, charts }: Discovery, ctx: Context): void {
  for (const { chart, by } of charts)
    ctx.events({
      kind: 'note',
      message: `${chart}: its images are found by ${by === 'helm' ? 'rendering it with helm' : 'its values'}`,
    })
  const doubts = [
    ...guesses.map(({ text, file, line, why }) => `${text} (${file}:${line}, ${why})`),
    ...unreadable.filter(({ why }) => !hiding.has(why)).map(({ file, line, why }) => `${file}:${line} (${why})`),
  ]
  if (doubts.length === 0) return
  const more = doubts.length > shown ? `, and ${doubts.length - shown} more` : ''
  ctx.events({
    kind: 'warning',
    code: 'image-guesses',
    message: `these may ask for container images that are not collected: ${doubts.slice(0, shown).join(', ')}${more}`,
    hint: 'name those that are needed in manifests/imageList; cloudimg deps DIR shows all of it',
  })
}

function withLayers(planned: PlannedTree, layers: readonly LayerSpec[]): PlannedTree {
  const { tree } = planned
  for (const entry of layers.flatMap(layer => layer.entries)) tree.apply(entry)
  return { ...planned, tree, layers: [...planned.layers, ...layers], history: [...planned.history, ...layers] }
}

/** A line that names an archive asks for each image in it. */
async function namedOneByOne(
  requests: readonly ImageRequest[],
  { local }: BuildSources,
  ctx: Context,
): Promise<readonly ImageRequest[]> {
  const named: ImageRequest[] = []
  for (const request of requests) {
    if (request.source === undefined) named.push(request)
    else for (const { name } of await local.load(request.source, ctx)) named.push({ ...request, image: name })
  }
  return named
}

function describeCollected(
  laid: readonly LaidImage[],
  requests: readonly ImageRequest[],
  tree: BuildTree,
): readonly CollectedImage[] {
  const references = requests.filter(({ image }) => isReference(image))
  const askers = Map.groupBy(references, ({ image }) => nodeName(parseReference(image)))
  return laid.map(image => ({
    name: image.name,
    digest: image.manifest.digest,
    size: blobsOf(image).reduce((sum, digest) => sum + sizeOf(tree, layoutBlobPath(digest)), 0),
    askedBy: [...new Set((askers.get(image.name) ?? []).map(describeAsker))].sort(),
  }))
}

function sizeOf(tree: BuildTree, path: string): number {
  const entry = tree.get(path)
  return entry?.type === 'file' ? entry.size : 0
}
