import { offlineErrorFor } from '../artifact/fetch.ts'
import { type Context, withTask } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { each } from '../core/each.ts'
import { CloudimgError, type ErrorCode, isCloudimgError, reasonOf } from '../core/error.ts'
import { formatPlatform, type Platform, samePlatform } from '../core/platform.ts'
import { nodeName, parseReference } from '../core/reference.ts'
import { compareBytes, statIfPresent } from '../io/files.ts'
import { type Descriptor, mediaTypes } from '../oci/descriptor.ts'
import { blobPath } from '../oci/store/layout.ts'
import type { Store } from '../oci/store/store.ts'
import {
  formatLayoutIndex,
  formatLayoutList,
  type LaidImage,
  layoutBlobPath,
  layoutDirectory,
  layoutListPath,
  layoutMarker,
} from '../workload/image-layout.ts'
import { describeAsker, type ImageRequest } from '../workload/image-request.ts'
import { archivedImages, loadTreeArchives, readLaidImages } from './tree-images.ts'
import type { BroughtImage } from './base-images.ts'
import { imageLayers } from './layers/image-layers.ts'
import type { LayerSpec } from './layers/layer-spec.ts'
import type { BuildSources } from './sources.ts'
import type { BuildTree, TreeDirectory, TreeEntry, TreeFile } from './tree.ts'

/** Images under way at once for each platform; each has blobs of its own under way. */
const concurrency = 4

export interface Collecting {
  readonly store: Store
  readonly sources: Pick<BuildSources, 'images' | 'local'>
  readonly platform: Platform
  /** Of the history entries of the layers. */
  readonly createdBy: string
  /** How many layers the images may take. */
  readonly mostLayers: number
  /** Images that cannot be had are left out. */
  readonly allowMissing?: boolean
}

export interface CollectedLayers {
  readonly layers: readonly LayerSpec[]
  /** With `allowMissing`: why each image is not among them. */
  readonly missing: readonly string[]
}

/**
 * The layers that bring into the tree whatever images it asks for and does not have: blobs as they are in the pool, under
 * one OCI layout. Nothing where nothing is missing. The tree itself is not changed.
 * @throws PLATFORM_MISSING, IMAGE_NOT_FOUND, OFFLINE … naming each image and the lines that ask for it.
 */
export async function collectImages(
  requests: readonly ImageRequest[],
  tree: BuildTree,
  collecting: Collecting,
  ctx: Context,
): Promise<CollectedLayers> {
  const { store } = collecting
  const present = await presentImages(tree, collecting, ctx)
  const wanted = await findWanted(requests, tree, collecting, ctx)
  const local = await loadLocal(requests, wanted, tree, collecting, ctx)
  for (const [name, { request }] of local) if (!wanted.has(name) && !present.has(name)) wanted.set(name, [request])
  const { brought, failures } = await bringAll(wanted, local, collecting, ctx)
  const missing = failures.map(failure => `${who(failure)}: ${reasonOf(failure.error)}`)
  if (brought.length === 0) return { layers: [], missing }
  const files = new Map<Digest, TreeFile>()
  const images: LaidImage[] = []
  for (const [name, { descriptor, manifest }] of brought) {
    const blobs = [manifest.config, ...manifest.layers]
    for (const blob of [descriptor, ...blobs]) {
      const path = layoutBlobPath(blob.digest)
      const isThere = tree.get(path) !== undefined || files.has(blob.digest)
      if (!isThere) files.set(blob.digest, await poolFile(store, path, blob, ctx))
    }
    images.push({ name, manifest: descriptor, blobs: blobs.map(blob => blob.digest) })
  }
  const laid = await readLaidImages(store, tree, ctx)
  return { layers: await layersOf([...laid, ...images], images, files, tree, collecting), missing }
}

/** Who asks for what the tree does not have, by the name that a node looks for. Archives that lists name are not among them. */
export async function findWanted(
  requests: readonly ImageRequest[],
  tree: BuildTree,
  place: Pick<Collecting, 'store' | 'platform'>,
  ctx: Context,
): Promise<Map<string, readonly ImageRequest[]>> {
  const present = await presentImages(tree, place, ctx)
  const named = requests.filter(({ source }) => source === undefined)
  const byName = Map.groupBy(named, ({ image }) => nodeName(parseReference(image)))
  return new Map([...byName].filter(([name]) => !present.has(name)).sort(([a], [b]) => compareBytes(a, b)))
}

async function presentImages(
  tree: BuildTree,
  { store, platform }: Pick<Collecting, 'store' | 'platform'>,
  ctx: Context,
): Promise<ReadonlySet<string>> {
  const laid = await readLaidImages(store, tree, ctx)
  return new Set([...(await archivedImages(store, tree, platform, ctx)), ...laid.map(image => image.name)])
}

interface LocalCandidate {
  readonly request: ImageRequest
  /** Undefined where it is there for other platforms only. */
  readonly image: BroughtImage | undefined
}

/** What lies on this machine, by name: what lists name as archives, and archives of the tree that somebody asks for. */
async function loadLocal(
  requests: readonly ImageRequest[],
  wanted: ReadonlyMap<string, readonly ImageRequest[]>,
  tree: BuildTree,
  { store, sources, platform }: Collecting,
  ctx: Context,
): Promise<ReadonlyMap<string, LocalCandidate>> {
  const found = new Map<string, LocalCandidate>()
  const add = (image: BroughtImage, request: ImageRequest): void => {
    const name = nodeName(parseReference(image.name))
    const fits = samePlatform(image.platform, platform)
    if (found.get(name)?.image === undefined) found.set(name, { request, image: fits ? image : undefined })
  }
  for (const request of requests) {
    if (request.source === undefined) continue
    for (const image of await asked(request, () => sources.local.load(request.source!, ctx))) add(image, request)
  }
  for (const image of await loadTreeArchives(store, tree, sources.local, [...wanted.keys()], ctx)) {
    const [request] = wanted.get(nodeName(parseReference(image.name))) ?? []
    if (request !== undefined && samePlatform(image.platform, platform)) add(image, request)
  }
  return found
}

/** Says who asked. */
async function asked<T>(request: ImageRequest, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isCloudimgError(error)) throw error
    const details = { cause: error, data: error.data, ...(error.hint === undefined ? {} : { hint: error.hint }) }
    throw new CloudimgError(error.code, `${describeAsker(request)}: ${error.message}`, details)
  }
}

interface Failure {
  readonly name: string
  readonly requests: readonly ImageRequest[]
  readonly error: CloudimgError
}

/** What lies with one image alone: the others are tried all the same, and all of it is told at once. */
const singular = new Set<ErrorCode>([
  'IMAGE_NOT_FOUND',
  'PLATFORM_MISSING',
  'OFFLINE',
  'LOCK_MISMATCH',
  'REGISTRY_DENIED',
])

async function bringAll(
  wanted: ReadonlyMap<string, readonly ImageRequest[]>,
  local: ReadonlyMap<string, LocalCandidate>,
  { sources, platform, allowMissing }: Collecting,
  ctx: Context,
): Promise<{
  readonly brought: readonly (readonly [name: string, image: BroughtImage])[]
  readonly failures: readonly Failure[]
}> {
  if (wanted.size === 0) return { brought: [], failures: [] }
  return await withTask(
    ctx,
    `container images for ${formatPlatform(platform)}`,
    async task => {
      const failures: Failure[] = []
      let done = 0
      const brought = await each(wanted, concurrency, async ([name, requests]) => {
        try {
          const candidate = local.get(name)
          const image =
            candidate === undefined
              ? await sources.images.bring({ image: requests[0]!.image, platform }, ctx)
              : ofPlatform(candidate, platform)
          task.progress(++done, wanted.size)
          return [name, image] as const
        } catch (error) {
          if (!isCloudimgError(error)) throw error
          if (!singular.has(error.code)) throw collectError([{ name, requests, error }], platform)
          failures.push({ name, requests, error })
          return undefined
        }
      })
      if (failures.length > 0 && allowMissing !== true) throw collectError(failures, platform)
      return { brought: brought.filter(entry => entry !== undefined), failures }
    },
    'items',
  )
}

function ofPlatform({ image, request }: LocalCandidate, platform: Platform): BroughtImage {
  if (image !== undefined) return image
  throw new CloudimgError(
    'PLATFORM_MISSING',
    `${describeAsker(request)} has it for other platforms, not for ${formatPlatform(platform)}`,
    {
      hint: `add a line with an archive for ${formatPlatform(platform)}`,
    },
  )
}

function who({ name, requests }: Failure): string {
  return `${name} (${requests.map(describeAsker).join(', ')})`
}

function collectError(failures: readonly Failure[], platform: Platform): CloudimgError {
  const sorted = [...failures].sort((a, b) => (a.name < b.name ? -1 : 1))
  const codes = new Set(sorted.map(({ error }) => error.code))
  if (codes.size === 1 && codes.has('OFFLINE')) return offlineErrorFor(sorted.map(failure => `image ${who(failure)}`))
  const [{ error: first }] = sorted as [Failure]
  const lines = sorted.map(failure => `\n  ${who(failure)}: ${reasonOf(failure.error)}`).join('')
  return new CloudimgError(
    codes.size === 1 ? first.code : 'IMAGE_UNRESOLVED',
    `collecting container images for ${formatPlatform(platform)}: ${sorted.length} of them cannot be had:${lines}`,
    {
      cause: first,
      hint:
        first.hint ??
        'mend the lines that ask for them, or build with --collect=never and bring them to the hosts yourself',
      data: { images: sorted.map(({ name }) => name).join(' '), platform: formatPlatform(platform) },
    },
  )
}

/** A blob as a file of the tree. What the store has as a sum of parts becomes a blob of its own. */
async function poolFile(store: Store, path: string, blob: Descriptor, ctx: Context): Promise<TreeFile> {
  const { digest, size } = blob
  if ((await statIfPresent(blobPath(store.layout, digest)))?.size !== size)
    await store.ingest(await store.open(blob, ctx), blob.mediaType, ctx, { digest, size })
  return { type: 'file', path, mode: 0o644, uid: 0, gid: 0, size, content: { from: 'pool', digest } }
}

/** First what never changes, then the images, last what changes with any of them. */
async function layersOf(
  all: readonly LaidImage[],
  fresh: readonly LaidImage[],
  files: ReadonlyMap<Digest, TreeFile>,
  tree: BuildTree,
  { store, createdBy, mostLayers }: Collecting,
): Promise<readonly LayerSpec[]> {
  const document = async (path: string, bytes: Buffer): Promise<TreeFile> => {
    const { digest, size } = await store.put(bytes, mediaTypes.index)
    return { type: 'file', path, mode: 0o644, uid: 0, gid: 0, size, content: { from: 'pool', digest } }
  }
  const frame: TreeEntry[] = missingDirectories(tree)
  if (tree.get(`${layoutDirectory}/oci-layout`) === undefined)
    frame.push(await document(`${layoutDirectory}/oci-layout`, layoutMarker))
  const lists = [
    await document(layoutListPath, formatLayoutList(all)),
    await document(`${layoutDirectory}/index.json`, formatLayoutIndex(all)),
  ]
  return [
    ...(frame.length === 0 ? [] : [{ entries: frame, createdBy: `${createdBy} # ${layoutDirectory}` }]),
    ...imageLayers(fresh, files, createdBy, mostLayers - 2),
    { entries: lists, createdBy: `${createdBy} # index.json` },
  ]
}

function missingDirectories(tree: BuildTree): TreeDirectory[] {
  return ['images', layoutDirectory, `${layoutDirectory}/blobs`, `${layoutDirectory}/blobs/sha256`]
    .filter(path => !tree.isDirectory(path))
    .map(path => ({ type: 'directory', path, mode: 0o755, uid: 0, gid: 0 }))
}
