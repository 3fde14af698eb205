import type { Readable } from 'node:stream'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import { formatReference, parseReference } from '../../core/reference.ts'
import { copyImage } from '../copy.ts'
import type { ImageTarget } from '../ends.ts'
import type { ArchiveInput } from './archive-files.ts'
import { wantBase } from './delta.ts'
import { openArchive, type OpenArchiveOptions } from './open-archive.ts'
import { checkParts, findArchives, partsListPath } from './parts.ts'

export interface LoadedImage {
  /** In full; the digest where the archive gives no name. */
  readonly name: string
  readonly digest: Digest
}

/**
 * Brings every image of archives, layout directories or a stream to the target, by its own name. Parts of an archive may be
 * given in any order. @throws IMAGE_NOT_FOUND for missing parts, for a delta whose base is not at the target, and where there
 * is no image; DIGEST_MISMATCH naming a broken part; what `openArchive` and `copyImage` throw.
 */
export async function loadArchives(
  input: readonly string[] | Readable,
  target: ImageTarget,
  options: OpenArchiveOptions,
  ctx: Context,
): Promise<readonly LoadedImage[]> {
  if ('pipe' in input) return await loadOne(input, target, options, ctx)
  const loaded: LoadedImage[] = []
  for (const archive of await findArchives(input, ctx)) loaded.push(...(await loadFound(archive, target, options, ctx)))
  return loaded
}

async function loadFound(
  archive: Exclude<ArchiveInput, Readable>,
  target: ImageTarget,
  options: OpenArchiveOptions,
  ctx: Context,
): Promise<readonly LoadedImage[]> {
  try {
    return await loadOne(archive, target, options, ctx)
  } catch (error) {
    if (!(error instanceof CloudimgError)) throw error
    if (typeof archive !== 'string' && isAboutContent(error)) await checkParts(archive, ctx)
    throw typeof archive === 'string' && error.code === 'ARCHIVE_INVALID' ? asPart(archive, error) : error
  }
}

/** The first part of an archive reads like one that is cut off. */
function asPart(path: string, error: CloudimgError): CloudimgError {
  const whole = /^(.*)\.\d{3,}$/.exec(path)?.[1]
  if (whole === undefined) return error
  const hint = `a part is loaded with the list of all parts: add --input ${partsListPath(whole)}`
  return new CloudimgError(error.code, error.message, { cause: error, hint, data: error.data })
}

/** Wrong bytes may show as anything: a blob that is missing too, unless it is one that a delta left out. */
function isAboutContent({ code, data }: CloudimgError): boolean {
  return contentCodes.has(code) && data.missing === undefined
}

const contentCodes: ReadonlySet<string> = new Set([
  'ARCHIVE_INVALID',
  'UNSAFE_ARCHIVE',
  'IMAGE_INVALID',
  'IMAGE_NOT_FOUND',
  'DIGEST_MISMATCH',
  'SIZE_MISMATCH',
  'UNSUPPORTED',
])

async function loadOne(
  input: ArchiveInput,
  target: ImageTarget,
  opening: OpenArchiveOptions,
  ctx: Context,
): Promise<readonly LoadedImage[]> {
  const archive = await openArchive(input, opening, ctx)
  try {
    await wantBase(archive.what, archive.leftOut, target, ctx)
    const loaded: LoadedImage[] = []
    for (const image of archive.names()) {
      const name = image.name === undefined ? undefined : formatReference(parseReference(image.name))
      const options = { title: `loading ${name ?? 'an image without a name'}` }
      const copied = await copyImage(archive, image.name ?? image.descriptor.digest, target, name, options, ctx)
      loaded.push({ name: name ?? copied.digest, digest: copied.digest })
    }
    if (loaded.length === 0)
      throw new CloudimgError('IMAGE_NOT_FOUND', `loading ${archive.what}: there is no image in it`)
    return loaded
  } finally {
    await archive.close()
  }
}
