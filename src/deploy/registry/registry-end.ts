import { Readable } from 'node:stream'
import type { CollectedImage } from '../../core/cluster-metadata.ts'
import type { Context } from '../../core/context.ts'
import { each } from '../../core/each.ts'
import { CloudimgError } from '../../core/error.ts'
import { parseReference } from '../../core/reference.ts'
import { toDescriptorPlatform } from '../../core/platform.ts'
import { digestOf } from '../../core/digest.ts'
import { copyImage } from '../../oci/copy.ts'
import { type Descriptor, isIndexType, mediaTypes } from '../../oci/descriptor.ts'
import { parseIndex, readDocument } from '../../oci/document.ts'
import type { ImageSource, ImageTarget } from '../../oci/ends.ts'
import type { RootfsFile } from '../../oci/rootfs-file.ts'
import { repositoryAt } from '../../runtime/registry-url.ts'
import { type LaidImage, layoutBlobPath, layoutListPath, parseLayoutList } from '../../workload/image-layout.ts'
import { text } from 'node:stream/consumers'
import type { Rootfs } from '../rootfs.ts'

/** One repository of the registry of a URL. */
export type Repository = ImageSource & ImageTarget

/** `absent`: it can be pushed. `other`: its tag stands for another image there, which is somebody's. */
export interface MissingImage {
  readonly name: string
  readonly why: 'absent' | 'other'
}

interface Wanted {
  readonly name: string
  readonly repository: string
  readonly tag: string | undefined
  /** For each platform of the cluster's machines. */
  readonly images: readonly { readonly image: CollectedImage; readonly rootfs: Rootfs }[]
}

export interface RegistryPlace {
  readonly url: string
  readonly rootfs: readonly Rootfs[]
  /** As nodes ask, and as the operator writes. */
  readonly open: (repository: string, as: 'node' | 'operator', ctx: Context) => Promise<Repository>
}

/** The registry of a URL, as far as it concerns the collected images of a bundle. */
export class RegistryEnd {
  readonly #place: RegistryPlace
  readonly #wanted: readonly Wanted[]

  constructor(place: RegistryPlace) {
    this.#place = place
    this.#wanted = wantedOf(place)
  }

  /** Different images that would have the same name there. */
  collisions(): readonly string[] {
    const places = Map.groupBy(this.#wanted, ({ repository, tag }) => `${repository}:${tag}`)
    const clash = [...places.values()].filter(
      same => same[0]?.tag !== undefined && new Set(same.map(({ images }) => digestsOf(images))).size > 1,
    )
    return clash.map(same => same.map(({ name }) => name).join(' and '))
  }

  /** What nodes would not find there. @throws what the registry answers else. */
  async missing(ctx: Context): Promise<readonly MissingImage[]> {
    const found = await each(this.#wanted, 8, async wanted => await this.#missing(wanted, ctx))
    return found.flat()
  }

  async #missing({ name, repository, tag, images }: Wanted, ctx: Context): Promise<readonly MissingImage[]> {
    const there = await this.#place.open(repository, 'node', ctx)
    const digests = images.map(({ image }) => image.digest)
    const tagged = tag === undefined ? undefined : await there.resolve(tag, ctx)
    if (tagged !== undefined && !(await holdsAll(there, tagged, digests, ctx))) return [{ name, why: 'other' }]
    const has = await each(digests, 4, async digest => (await there.resolve(digest, ctx)) !== undefined)
    return has.includes(false) || (tag !== undefined && tagged === undefined) ? [{ name, why: 'absent' }] : []
  }

  /** Brings what is absent; nothing that is there is written over. */
  async push(ctx: Context): Promise<void> {
    const absent = new Set((await this.missing(ctx)).filter(({ why }) => why === 'absent').map(({ name }) => name))
    for (const wanted of this.#wanted) if (absent.has(wanted.name)) await this.#push(wanted, ctx)
  }

  async #push({ repository, tag, images }: Wanted, ctx: Context): Promise<void> {
    const there = await this.#place.open(repository, 'operator', ctx)
    const pushed: Descriptor[] = []
    for (const { image, rootfs } of images) {
      const source = await layoutSource(rootfs.tree, ctx)
      const options = { referrers: false, title: `pushing ${image.name}` }
      const { mediaType, digest, size } = await copyImage(source, image.digest, there, undefined, options, ctx)
      pushed.push({ mediaType, digest, size, platform: toDescriptorPlatform(rootfs.platform.platform) })
    }
    if (tag !== undefined) await there.tag(tag, await joined(there, pushed, ctx), ctx)
  }
}

function wantedOf({ url, rootfs }: RegistryPlace): readonly Wanted[] {
  const all = rootfs.flatMap(one => (one.platform.metadata.collected ?? []).map(image => ({ image, rootfs: one })))
  return [...Map.groupBy(all, ({ image }) => image.name)].map(([name, images]) => {
    const ref = parseReference(name)
    const tag = ref.digest === undefined ? ref.tag : undefined
    return { name, repository: repositoryAt(url, ref.registry, ref.repository), tag, images }
  })
}

function digestsOf(images: Wanted['images']): string {
  return images.map(({ image }) => image.digest).join(' ')
}

/** The very manifest, or an index that has every one of them. */
async function holdsAll(
  there: Repository,
  found: Descriptor,
  digests: readonly string[],
  ctx: Context,
): Promise<boolean> {
  if (!isIndexType(found.mediaType)) return digests.every(digest => digest === found.digest)
  const { manifests } = parseIndex(await readDocument(there, found, ctx), found.digest)
  return digests.every(digest => manifests.some(entry => entry.digest === digest))
}

/** What a tag shall stand for: the one manifest, or an index of all. */
async function joined(there: Repository, manifests: readonly Descriptor[], ctx: Context): Promise<Descriptor> {
  const [first, second] = manifests
  if (first !== undefined && second === undefined) return first
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }))
  const index = { mediaType: mediaTypes.index, digest: digestOf(bytes), size: bytes.length }
  await there.write(index, { open: async () => Readable.from([bytes]) }, ctx)
  return index
}

/** The images that lie in a rootfs, as an end of `copyImage`; their names are digests. */
async function layoutSource(tree: readonly RootfsFile[], ctx: Context): Promise<ImageSource> {
  const files = new Map(tree.flatMap(file => (file.type === 'file' ? [[file.path, file] as const] : [])))
  const open = async (path: string): Promise<Readable> => {
    const file = files.get(path)
    if (file === undefined)
      throw new CloudimgError('IMAGE_INVALID', `pushing images of the bundle: it has no "${path}"`)
    return await file.open(ctx)
  }
  const laid: readonly LaidImage[] = parseLayoutList(await text(await open(layoutListPath)))
  return {
    has: blob => Promise.resolve(files.has(layoutBlobPath(blob.digest))),
    open: async (blob, _ctx, range) => {
      const body = await open(layoutBlobPath(blob.digest))
      return range === undefined ? body : Readable.from(cut(body, range), { objectMode: false })
    },
    resolve: name => Promise.resolve(laid.find(({ manifest }) => manifest.digest === name)?.manifest),
    referrers: () => Promise.resolve([]),
  }
}

async function* cut(
  body: Readable,
  range: { readonly offset: number; readonly length?: number },
): AsyncGenerator<Buffer> {
  let at = 0
  const end = range.length === undefined ? Infinity : range.offset + range.length
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const part = chunk.subarray(Math.max(0, range.offset - at), Math.max(0, Math.min(chunk.length, end - at)))
    at += chunk.length
    if (part.length > 0) yield part
    if (at >= end) return
  }
}
