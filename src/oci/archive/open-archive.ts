import { Readable } from 'node:stream'
import type { Context } from '../../core/context.ts'
import { type Digest, isDigest } from '../../core/digest.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { formatReference, parseReference } from '../../core/reference.ts'
import { verifying } from '../../io/hash.ts'
import { limits } from '../../io/limits.ts'
import { cutPieces, readPieces } from '../../io/pieces.ts'
import { streamOf } from '../../io/read-file.ts'
import { type Descriptor, isIndexType, isManifestType } from '../descriptor.ts'
import { parseIndex, parseManifest, readDocument } from '../document.ts'
import type { ByteRange, ImageSource } from '../ends.ts'
import { annotationNames } from './annotations.ts'
import { type ArchiveFiles, type ArchiveInput, openArchiveFiles, readStretch, type Stretch } from './archive-files.ts'
import { deltaFile, type LeftOut, parseDelta } from './delta.ts'
import { type ArchiveContent, type ArchivedImage, readDockerArchive } from './docker-archive.ts'

export type { ArchivedImage } from './docker-archive.ts'

export interface OpenArchiveOptions {
  /** Where compressed archives are unpacked to; the system's temporary folder unless told. */
  readonly temporary?: string
}

/** An archive as an end of `copyImage`. Names are those it says in full, and digests. */
export interface Archive extends ImageSource {
  /** The images in the archive's order. */
  names(): readonly ArchivedImage[]
  /** For messages: the file's name in quotes, or where it comes from. */
  readonly what: string
  /** Blobs that a delta takes for granted at whoever loads it. */
  readonly leftOut: readonly LeftOut[]
  close(): Promise<void>
}

/**
 * Opens an OCI layout (directory or tar), what `docker save` writes, or a tar that is both; plain, gzip or zstd. Digests
 * are checked as blobs are read. @throws ARCHIVE_INVALID where it is none of them; UNSAFE_ARCHIVE, UNSUPPORTED.
 */
export async function openArchive(input: ArchiveInput, options: OpenArchiveOptions, ctx: Context): Promise<Archive> {
  const archive = await openArchiveFiles(input, options.temporary, ctx)
  try {
    return new OpenedArchive(archive, await readContent(archive, ctx))
  } catch (error) {
    await archive.close()
    throw error
  }
}

async function readContent(archive: ArchiveFiles, ctx: Context): Promise<ArchiveContent> {
  const { files, what } = archive
  const index = files.get('index.json')
  if (files.has('oci-layout') && index !== undefined) return await readLayout(archive, index)
  const list = files.get('manifest.json')
  if (list !== undefined) return await readDockerArchive(archive, list, ctx)
  throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: neither an OCI layout nor an archive of docker`, {
    hint: 'load takes what cloudimg save, docker save, podman save or skopeo copy wrote',
  })
}

async function readLayout(archive: ArchiveFiles, stretch: Stretch): Promise<ArchiveContent> {
  const index = parseIndex(await readStretch(archive, 'index.json', stretch, limits.manifestBytes), 'index.json')
  const blobs = new Map<Digest, Stretch>()
  for (const [path, at] of archive.files) {
    const digest = path.replace(/^blobs\/sha256\//, 'sha256:')
    if (isDigest(digest)) blobs.set(digest, at)
  }
  const images: ArchivedImage[] = []
  const unnamed: Descriptor[] = []
  const referring = (entry: Descriptor): boolean => entry.annotations?.[annotationNames.subject] !== undefined
  for (const entry of index.manifests) {
    const { annotations: _annotations, ...descriptor } = entry
    const isImage = isIndexType(entry.mediaType) || isManifestType(entry.mediaType)
    if (referring(entry) || !isImage) unnamed.push(descriptor)
    else images.push({ ...nameOf(entry), descriptor })
  }
  const delta = archive.files.get(deltaFile)
  const leftOut =
    delta === undefined
      ? []
      : parseDelta(await readStretch(archive, deltaFile, delta, limits.manifestBytes), archive.what)
  return { images, unnamed, blobs, leftOut }
}

// `ref.name` should be a tag alone, yet some tools write a whole reference there: one with a registry is taken for that.
function nameOf({ annotations = {} }: Descriptor): Pick<ArchivedImage, 'name' | 'tag'> {
  const refName = annotations[annotationNames.refName]
  const full = annotations[annotationNames.imageName] ?? (refName?.includes('/') === true ? refName : undefined)
  if (full !== undefined && canonical(full) !== undefined) return { name: canonical(full), tag: undefined }
  return { name: undefined, tag: refName }
}

function canonical(name: string): string | undefined {
  try {
    return formatReference(parseReference(name))
  } catch (error) {
    if (isCloudimgError(error)) return undefined
    throw error
  }
}

class OpenedArchive implements Archive {
  readonly #archive: ArchiveFiles
  readonly #content: ArchiveContent
  #referring: Promise<ReadonlyMap<Digest, readonly Descriptor[]>> | undefined

  constructor(archive: ArchiveFiles, content: ArchiveContent) {
    this.#archive = archive
    this.#content = content
  }

  get what(): string {
    return this.#archive.what
  }

  get leftOut(): readonly LeftOut[] {
    return this.#content.leftOut
  }

  names(): readonly ArchivedImage[] {
    return this.#content.images.map(image => ({
      ...image,
      name: image.name === undefined ? undefined : (canonical(image.name) ?? image.name),
    }))
  }

  async close(): Promise<void> {
    await this.#archive.close()
  }

  async has(blob: Descriptor): Promise<boolean> {
    const found = this.#content.blobs.get(blob.digest)
    return found !== undefined && sizeOf(found) === blob.size
  }

  async open(blob: Descriptor, _ctx: Context, range?: ByteRange): Promise<Readable> {
    const found = this.#content.blobs.get(blob.digest)
    if (found === undefined)
      throw new CloudimgError('IMAGE_NOT_FOUND', `reading ${this.#archive.what}: blob ${blob.digest} is not in it`, {
        hint: 'save it again: the archive lacks a part that its index names',
      })
    const from = range?.offset ?? 0
    const length = Math.min(range?.length ?? Number.POSITIVE_INFINITY, Math.max(0, sizeOf(found) - from))
    const bytes = Buffer.isBuffer(found)
      ? Readable.from([found.subarray(from, from + length)], { objectMode: false })
      : streamOf(readPieces(cutPieces(found.extents, from, length)))
    return range === undefined ? verifying(bytes, blob, `blob ${blob.digest} of ${this.#archive.what}`) : bytes
  }

  async resolve(name: string): Promise<Descriptor | undefined> {
    const { images, unnamed } = this.#content
    if (isDigest(name))
      return [...images.map(image => image.descriptor), ...unnamed].find(({ digest }) => digest === name)
    const wanted = canonical(name)
    return this.names().find(image => image.name === wanted)?.descriptor
  }

  async referrers(subject: Digest, ctx: Context): Promise<readonly Descriptor[]> {
    this.#referring ??= this.#readReferrers(ctx)
    return (await this.#referring).get(subject) ?? []
  }

  // The manifests themselves say what they refer to; the annotation in index.json may name the index above.
  async #readReferrers(ctx: Context): Promise<ReadonlyMap<Digest, readonly Descriptor[]>> {
    const found = new Map<Digest, Descriptor[]>()
    const entries = [...this.#content.images.map(({ descriptor }) => descriptor), ...this.#content.unnamed]
    for (const descriptor of entries) {
      if (!(await this.has(descriptor))) continue
      const subject = await readSubject(this, descriptor, ctx)
      if (subject === undefined) continue
      const others = found.get(subject) ?? []
      if (!others.some(({ digest }) => digest === descriptor.digest)) found.set(subject, [...others, descriptor])
    }
    return found
  }
}

async function readSubject(archive: Archive, descriptor: Descriptor, ctx: Context): Promise<Digest | undefined> {
  if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType)) return undefined
  const bytes = await readDocument(archive, descriptor, ctx)
  const parsed = isIndexType(descriptor.mediaType)
    ? parseIndex(bytes, descriptor.digest)
    : parseManifest(bytes, descriptor.digest)
  return parsed.subject?.digest
}

function sizeOf(found: Stretch | Buffer): number {
  return Buffer.isBuffer(found) ? found.length : found.size
}
