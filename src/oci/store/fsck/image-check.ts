import { createHash } from 'node:crypto'
import type { Context } from '../../../core/context.ts'
import type { Digest } from '../../../core/digest.ts'
import { isCloudimgError, reasonOf } from '../../../core/error.ts'
import { limits } from '../../../io/limits.ts'
import { type Descriptor, isIndexType, isManifestType, layerCompression, mediaTypes } from '../../descriptor.ts'
import { parseConfig, parseIndex, parseManifest, readDocument } from '../../document.ts'
import type { BlobReader } from '../../ends.ts'
import { openLayerTar } from '../../layer-reader.ts'
import type { ContentCheck } from './content-check.ts'
import type { Fault } from './fault.ts'

type ImageFault = Omit<Fault, 'names'>

/** Layers that may not be passed on lie elsewhere, and images without them are whole. */
const elsewhere = /[.+]foreign[.+]|nondistributable/

/** Whether all is there that a document needs, of the size that it says, and whether layers unpack to their diff_ids. */
export class ImageCheck {
  readonly #source: BlobReader
  readonly #content: ContentCheck
  readonly #ctx: Context
  readonly #checked = new Map<string, Promise<readonly ImageFault[]>>()
  readonly #diffIds = new Map<Digest, Promise<string>>()

  constructor(source: BlobReader, content: ContentCheck, ctx: Context) {
    this.#source = source
    this.#content = content
    this.#ctx = ctx
  }

  /** Of everything below a document, each named once; images that share a document are told of the same faults. */
  document(descriptor: Descriptor, depth = 0): Promise<readonly ImageFault[]> {
    const key = `${descriptor.digest} ${descriptor.size} ${descriptor.mediaType}`
    const known = this.#checked.get(key) ?? this.#document(descriptor, depth)
    this.#checked.set(key, known)
    return known
  }

  /** Forgets what it found: the store has changed meanwhile. */
  forget(): void {
    this.#checked.clear()
  }

  async #document(descriptor: Descriptor, depth: number): Promise<readonly ImageFault[]> {
    const { digest, mediaType } = descriptor
    const absent = await this.#presence(descriptor, 'document')
    if (absent !== undefined) return [absent]
    if (depth > limits.indexDepth)
      return [fault('inconsistent', digest, `indexes nest deeper than ${limits.indexDepth}`)]
    try {
      const bytes = await readDocument(this.#source, descriptor, this.#ctx)
      if (isIndexType(mediaType)) {
        const children = parseIndex(bytes, digest).manifests
        const lists = await inOrder(children, child =>
          isIndexType(child.mediaType) || isManifestType(child.mediaType)
            ? this.document(child, depth + 1)
            : this.#leaf(child, 'blob'),
        )
        return lists.flat()
      }
      if (isManifestType(mediaType)) return await this.#manifest(bytes, digest)
      return [fault('inconsistent', digest, `"${mediaType}" is neither manifest nor index`)]
    } catch (error) {
      if (!isCloudimgError(error, 'IMAGE_INVALID')) throw error
      return [fault('inconsistent', digest, error.message)]
    }
  }

  async #manifest(bytes: Buffer, digest: Digest): Promise<readonly ImageFault[]> {
    const { config, layers } = parseManifest(bytes, digest)
    const present = await inOrder(
      layers.filter(layer => !elsewhere.test(layer.mediaType)),
      layer => this.#leaf(layer, 'layer'),
    )
    const faults = [...(await this.#leaf(config, 'config')), ...present.flat()]
    const isImage = config.mediaType === mediaTypes.config || config.mediaType === mediaTypes.dockerConfig
    if (!isImage || faults.length > 0) return faults
    const text = await readDocument(this.#source, config, this.#ctx, limits.configBytes)
    const { diff_ids: diffIds } = parseConfig(text, config.digest).rootfs
    if (diffIds.length !== layers.length)
      return [fault('inconsistent', digest, `the config has ${diffIds.length} diff_ids for ${layers.length} layers`)]
    const wrong = await inOrder(layers, (layer, i) => this.diffId(layer, diffIds[i]!))
    return wrong.flat()
  }

  /** Whether a layer unpacks to that. */
  async diffId(layer: Descriptor, wanted: Digest): Promise<readonly ImageFault[]> {
    const compression = layerCompression(layer.mediaType)
    if (compression === undefined || elsewhere.test(layer.mediaType)) return []
    const reading = this.#diffIds.get(layer.digest) ?? (compression === 'none' ? layer.digest : this.#unpack(layer))
    this.#diffIds.set(layer.digest, Promise.resolve(reading))
    const found = await reading
    return found === wanted
      ? []
      : [fault('inconsistent', layer.digest, `wanted diff_id ${wanted}, found ${found}`, 'layer')]
  }

  async #unpack(layer: Descriptor): Promise<string> {
    const hash = createHash('sha256')
    try {
      for await (const chunk of await openLayerTar(this.#source, layer, this.#ctx)) {
        this.#ctx.signal.throwIfAborted()
        hash.update(chunk)
      }
    } catch (error) {
      if (!isCloudimgError(error)) throw error
      return `what cannot be unpacked (${reasonOf(error)})`
    }
    return `sha256:${hash.digest('hex')}`
  }

  async #leaf(blob: Descriptor, what: string): Promise<readonly ImageFault[]> {
    const absent = await this.#presence(blob, what)
    return absent === undefined ? [] : [absent]
  }

  async #presence({ digest, size }: Descriptor, what: string): Promise<ImageFault | undefined> {
    const found = await this.#content.content(digest)
    if (found === undefined) return fault('missing', digest, 'missing', what)
    if (found.state === 'broken') return fault('missing', digest, 'broken', what)
    return found.size === size
      ? undefined
      : fault('inconsistent', digest, `wanted ${size} bytes, found ${found.size}`, what)
  }
}

function fault(kind: Fault['kind'], digest: Digest, why: string, what = 'document'): ImageFault {
  return { kind, digest, message: `${what} ${digest}: ${why}` }
}

/** One after another: each may read gigabytes. */
async function inOrder<T, R>(items: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (const [index, item] of items.entries()) results.push(await work(item, index))
  return results
}
