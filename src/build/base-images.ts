import { join } from 'node:path'
import { Readable } from 'node:stream'
import { offlineErrorFor } from '../artifact/fetch.ts'
import type { LockView } from '../artifact/lock-view.ts'
import { type Context, withTask } from '../core/context.ts'
import { type Digest, digestOf, hexOf } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { familiarReference, parseReference, type Reference } from '../core/reference.ts'
import { readFileIfPresent } from '../io/files.ts'
import { limits } from '../io/limits.ts'
import { copyImage } from '../oci/copy.ts'
import { type Descriptor, isIndexType, isManifestType, layerCompression, mediaTypes } from '../oci/descriptor.ts'
import { imageFor, type PlatformImage, readDocument } from '../oci/document.ts'
import type { BlobReader, ImageSource, ImageTarget } from '../oci/ends.ts'
import { mergeLayers } from '../oci/layer-reader.ts'
import { singleFlight } from '../oci/single-flight.ts'
import { writeStoreFile } from '../oci/store/draft.ts'
import { blobPath } from '../oci/store/layout.ts'
import type { Store } from '../oci/store/store.ts'
import { baseKey } from './plan-build.ts'
import type { BaseImageName } from './plan.ts'
import { treeOfTars } from './stored-tar.ts'
import type { BuildTree, StoredTar } from './tree.ts'

/** One platform's image, whole in the store. */
export interface BroughtImage extends PlatformImage {
  /** As it was asked for, in full. */
  readonly name: string
  /** Of the index, or of the manifest where the name has no index. */
  readonly root: Digest
}

/** An image that a build begins with or copies from. */
export interface BaseImage extends BroughtImage {
  /** Read once, when it is first asked for. */
  tree(): Promise<BuildTree>
}

export interface BaseImages {
  /** @throws as `bring` does, and IMAGE_INVALID for layers that are no tars. */
  open(name: BaseImageName, ctx: Context): Promise<BaseImage>
  /** Whatever is in its layers. @throws IMAGE_NOT_FOUND, PLATFORM_MISSING, OFFLINE, LOCK_MISMATCH, the registry's errors. */
  bring(name: BaseImageName, ctx: Context): Promise<BroughtImage>
  /** Looks up what the name stands for, and pins it; nothing else. @throws IMAGE_NOT_FOUND, OFFLINE, LOCK_MISMATCH. */
  pin(image: string, ctx: Context): Promise<void>
}

export interface BaseImagesOptions {
  readonly store: Store
  readonly lock: LockView
  readonly offline: boolean
  /** Ask the registry for what the lock does not pin, also where the store has an image of that name. */
  readonly pull: boolean
  readonly openRepository: (ref: Reference) => ImageSource
}

/** The store comes first, then the registry; a name is resolved once for all platforms, and pinned. */
export function openBaseImages(options: BaseImagesOptions): BaseImages {
  return new Images(options)
}

class Images implements BaseImages {
  readonly #options: BaseImagesOptions
  readonly #target: ImageTarget
  readonly #roots = new Map<string, Promise<Descriptor>>()
  readonly #images = new Map<string, Promise<BaseImage>>()
  readonly #brought = new Map<string, Promise<BroughtImage>>()

  constructor(options: BaseImagesOptions) {
    this.#options = options
    this.#target = singleFlight(options.store)
  }

  open(name: BaseImageName, ctx: Context): Promise<BaseImage> {
    const key = baseKey(name)
    const opened = this.#images.get(key) ?? this.#open(name, ctx)
    this.#images.set(key, opened)
    return opened
  }

  async #open(wanted: BaseImageName, ctx: Context): Promise<BaseImage> {
    const image = await this.bring(wanted, ctx)
    refuseStrangeLayers(image.name, image)
    return { ...image, tree: once(() => this.#readTree(image.name, image, ctx)) }
  }

  bring(name: BaseImageName, ctx: Context): Promise<BroughtImage> {
    const key = baseKey(name)
    const brought = this.#brought.get(key) ?? this.#find(name, ctx)
    this.#brought.set(key, brought)
    return brought
  }

  async #find({ image: name, platform }: BaseImageName, ctx: Context): Promise<BroughtImage> {
    const ref = parseReference(name)
    const root = await this.#root(name, ref, ctx)
    const image = await imageFor(this.#reader(ref), root, platform, ctx)
    await this.#fetch(ref, root.digest, image, ctx)
    return { ...image, name, root: root.digest }
  }

  async pin(name: string, ctx: Context): Promise<void> {
    await this.#root(name, parseReference(name), ctx)
  }

  #root(name: string, ref: Reference, ctx: Context): Promise<Descriptor> {
    const resolving = this.#roots.get(name) ?? this.#resolve(name, ref, ctx)
    this.#roots.set(name, resolving)
    return resolving
  }

  /** The index or manifest that the name stands for. */
  async #resolve(name: string, ref: Reference, ctx: Context): Promise<Descriptor> {
    const { store, lock, pull } = this.#options
    const pinned = ref.digest ?? lock.find('image', name, 'any')?.digest
    if (pinned !== undefined) return await this.#findDigest(name, ref, pinned, ctx)
    const local = pull ? undefined : await store.resolve(name, ctx)
    const root = local ?? (await this.#fromRegistry(ref, ref.tag ?? 'latest', ctx))
    lock.record({ kind: 'image', locator: name, platform: 'any', digest: root.digest }, ctx)
    return root
  }

  async #findDigest(name: string, ref: Reference, digest: Digest, ctx: Context): Promise<Descriptor> {
    const { store } = this.#options
    const local = await findDocument(store, digest)
    const named = ref.digest === undefined ? await store.resolve(name, ctx) : undefined
    if (named !== undefined && named.digest !== digest) {
      ctx.events({
        kind: 'warning',
        code: 'pinned-image',
        message: `the lock has "${familiarReference(ref)}" as ${digest}, which the build uses; the store has ${named.digest}`,
        hint: `to take the other one, run cloudimg lock --update ${name}`,
      })
    }
    return local ?? (await this.#fromRegistry(ref, digest, ctx))
  }

  /** The document itself is kept: the next build finds it by the digest that the lock has. */
  async #fromRegistry(ref: Reference, name: string, ctx: Context): Promise<Descriptor> {
    const { store, offline } = this.#options
    if (offline) throw offlineErrorFor([`image ${familiarReference(ref)}`])
    const repository = this.#options.openRepository(ref)
    const root = await repository.resolve(name, ctx)
    if (root === undefined) {
      throw new CloudimgError(
        'IMAGE_NOT_FOUND',
        `looking for "${familiarReference(ref)}": neither in the store nor at ${ref.registry}`,
        {
          hint: 'check the name, or build or load the image first',
        },
      )
    }
    const bytes = await readDocument(repository, root, ctx)
    await store.write(root, { open: async () => Readable.from([bytes]) }, ctx)
    await rememberBase(store, root.digest, root.digest)
    return root
  }

  /** Whatever the store lacks is read from where the image came from. */
  #reader(ref: Reference): BlobReader {
    const { store, offline } = this.#options
    return {
      has: (blob, ctx) => store.has(blob, ctx),
      open: async (blob, ctx, range) => {
        if (await store.has(blob, ctx)) return await store.open(blob, ctx, range)
        if (offline) throw offlineErrorFor([`image ${familiarReference(ref)}`])
        return await this.#options.openRepository(ref).open(blob, ctx, range)
      },
    }
  }

  async #fetch(ref: Reference, root: Digest, { descriptor, manifest }: PlatformImage, ctx: Context): Promise<void> {
    const { store, offline } = this.#options
    const blobs = [descriptor, manifest.config, ...manifest.layers]
    const present = await Promise.all(blobs.map(blob => store.has(blob, ctx)))
    if (!present.includes(false)) return
    if (offline) throw offlineErrorFor([`image ${familiarReference(ref)}`])
    await withTask(ctx, `image ${familiarReference(ref)}`, () =>
      copyImage(
        this.#options.openRepository(ref),
        descriptor.digest,
        this.#target,
        undefined,
        { referrers: false },
        ctx,
      ),
    )
    await rememberBase(store, root, descriptor.digest)
  }

  async #readTree(name: string, image: PlatformImage, ctx: Context): Promise<BuildTree> {
    const { layers } = image.manifest
    return await withTask(ctx, `reading the tree of ${familiarReference(parseReference(name))}`, async () =>
      treeOfTars(await mergeLayers(this.#options.store, layers, ctx), storedTars(image)),
    )
  }
}

/** What was fetched to build on has no name in the store; this keeps it there for the next build (gc, `prune --cache`). */
async function rememberBase(store: Store, root: Digest, image: Digest): Promise<void> {
  const path = join(store.layout.cache, 'bases', `${hexOf(image)}.json`)
  await writeStoreFile(store.layout, path, JSON.stringify({ root, image }))
}

/** An image's layers with their diff_ids. */
export function storedTars({ manifest, config }: PlatformImage): readonly StoredTar[] {
  return manifest.layers.map((blob, index) => ({ blob, diffId: config.rootfs.diff_ids[index]! }))
}

function refuseStrangeLayers(name: string, { manifest, config }: PlatformImage): void {
  const strange = manifest.layers.find(layer => layerCompression(layer.mediaType) === undefined)
  if (strange !== undefined) {
    throw new CloudimgError('IMAGE_INVALID', `beginning with "${name}": "${strange.mediaType}" is no file system layer`)
  }
  const [layers, diffIds] = [manifest.layers.length, config.rootfs.diff_ids.length]
  if (layers !== diffIds) {
    throw new CloudimgError('IMAGE_INVALID', `beginning with "${name}": ${layers} layers, but ${diffIds} diff_ids`)
  }
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  return () => (running ??= work())
}

/** A manifest or index that the pool has by its digest alone. */
export async function findDocument(store: Store, digest: Digest): Promise<Descriptor | undefined> {
  const size = await store.sizeOf(digest)
  if (size === undefined || size > limits.manifestBytes) return undefined
  const bytes = await readFileIfPresent(blobPath(store.layout, digest))
  if (bytes === undefined || digestOf(bytes) !== digest) return undefined
  const mediaType = mediaTypeOf(bytes)
  const isImage = mediaType !== undefined && (isIndexType(mediaType) || isManifestType(mediaType))
  return isImage ? { mediaType, digest, size: bytes.length } : undefined
}

function mediaTypeOf(bytes: Buffer): string | undefined {
  try {
    const document = JSON.parse(bytes.toString('utf8')) as Readonly<Record<string, unknown>>
    if (typeof document.mediaType === 'string') return document.mediaType
    // image-spec leaves the field to the writer; Docker's documents always have it.
    if (Array.isArray(document.manifests)) return mediaTypes.index
    return Array.isArray(document.layers) ? mediaTypes.manifest : undefined
  } catch {
    return undefined
  }
}
