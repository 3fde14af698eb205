import { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import { digestOf } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { normalisePlatform, type Platform, samePlatform } from '../core/platform.ts'
import { type Descriptor, isIndexType } from './descriptor.ts'
import { parseIndex, parseManifest, readDocument } from './document.ts'
import type { ImageSource, ImageTarget } from './ends.ts'

/** Values to set; undefined removes. */
export type Annotations = Readonly<Record<string, string | undefined>>

/** Which documents get them: the one that the name stands for, that and all manifests below it, or some platforms' manifests. */
export type AnnotateWhat = 'root' | 'all' | readonly Platform[]

interface Json {
  readonly [field: string]: unknown
}

/**
 * Writes the image's documents anew with other annotations, blobs untouched, and names the result. Fields that we do not
 * know stay as they are. @throws PLATFORM_MISSING, IMAGE_INVALID, what the ends throw.
 */
export async function annotateImage(
  repository: ImageSource & ImageTarget,
  root: Descriptor,
  annotations: Annotations,
  what: AnnotateWhat,
  toName: string,
  ctx: Context,
): Promise<Descriptor> {
  const annotator = new Annotator(repository, annotations, what, ctx)
  const annotated = await annotator.rewrite(root, true)
  if (annotator.meant === 0)
    throw new CloudimgError('PLATFORM_MISSING', `annotating ${root.digest}: it has no manifest for that platform`)
  await repository.tag(toName, annotated, ctx)
  return annotated
}

class Annotator {
  readonly #repository: ImageSource & ImageTarget
  readonly #annotations: Annotations
  readonly #what: AnnotateWhat
  readonly #ctx: Context
  /** Documents that the annotations are for, changed or not. */
  meant = 0

  constructor(repository: ImageSource & ImageTarget, annotations: Annotations, what: AnnotateWhat, ctx: Context) {
    this.#repository = repository
    this.#annotations = annotations
    this.#what = what
    this.#ctx = ctx
  }

  /** Unchanged content keeps its bytes, and its digest, however they were written. */
  async rewrite(descriptor: Descriptor, isRoot: boolean): Promise<Descriptor> {
    const bytes = await readDocument(this.#repository, descriptor, this.#ctx)
    const before = readJson(bytes, descriptor)
    const index = isIndexType(descriptor.mediaType)
    let document = index && this.#what !== 'root' ? await this.#rewriteEntries(before) : before
    if (isMeant(descriptor, this.#what, isRoot, index)) {
      this.meant++
      document = annotate(document, this.#annotations)
    }
    if (JSON.stringify(document) === JSON.stringify(before)) return descriptor
    const written = Buffer.from(JSON.stringify(document))
    const target = { mediaType: descriptor.mediaType, digest: digestOf(written), size: written.length }
    const open = async (): Promise<Readable> => Readable.from([written], { objectMode: false })
    await this.#repository.write(target, { open }, this.#ctx)
    return target
  }

  async #rewriteEntries(document: Json): Promise<Json> {
    const manifests: Json[] = []
    for (const entry of document.manifests as readonly (Json & Descriptor)[]) {
      const { digest, size } = await this.rewrite(entry, false)
      manifests.push({ ...entry, digest, size })
    }
    return { ...document, manifests }
  }
}

function readJson(bytes: Buffer, { mediaType, digest }: Descriptor): Json {
  if (isIndexType(mediaType)) parseIndex(bytes, digest)
  else parseManifest(bytes, digest)
  return JSON.parse(bytes.toString('utf8')) as Json
}

// What describes another manifest (BuildKit's attestations, platform unknown) belongs to it and is no image of its own.
function isMeant({ platform }: Descriptor, what: AnnotateWhat, isRoot: boolean, index: boolean): boolean {
  if (what === 'root') return isRoot
  if (what === 'all') return platform?.os !== 'unknown'
  if (index) return false
  const own = platform === undefined ? undefined : normalisePlatform(platform)
  return own !== undefined && what.some(wanted => samePlatform(wanted, own))
}

function annotate(document: Json, annotations: Annotations): Json {
  const { annotations: before, ...rest } = document
  const merged = Object.entries({ ...(before as Record<string, string> | undefined), ...annotations }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  )
  return merged.length === 0 ? rest : { ...rest, annotations: Object.fromEntries(merged) }
}
