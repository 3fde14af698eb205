import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { formatPlatform, normalisePlatform, toDescriptorPlatform } from '../core/platform.ts'
import { limits } from '../io/limits.ts'
import { type Descriptor, isIndexType, mediaTypes } from './descriptor.ts'
import { parseIndex, readDocument, readImage } from './document.ts'
import type { BlobReader } from './ends.ts'

/** An image whose entries go into an index; `name` is for people. */
export interface IndexPart {
  readonly name: string
  readonly descriptor: Descriptor
}

/** One entry of an index, as it stands there, with where it came from. */
export interface IndexEntry {
  readonly descriptor: Descriptor
  /** `linux/arm64`; undefined for what is for no platform: attestations. */
  readonly platform: string | undefined
  readonly from: string
}

/** The entries of an image: those of its index and of indexes in it, or itself with the platform that its config says. */
export async function listEntries(source: BlobReader, part: IndexPart, ctx: Context): Promise<readonly IndexEntry[]> {
  return await entriesOf(source, part.descriptor, part.name, ctx, 0)
}

async function entriesOf(
  source: BlobReader,
  descriptor: Descriptor,
  from: string,
  ctx: Context,
  depth: number,
): Promise<readonly IndexEntry[]> {
  if (depth > limits.indexDepth)
    throw new CloudimgError('IMAGE_INVALID', `reading "${from}": indexes nested deeper than ${limits.indexDepth}`)
  if (!isIndexType(descriptor.mediaType)) return [await manifestEntry(source, descriptor, from, ctx)]
  const bytes = await readDocument(source, descriptor, ctx)
  parseIndex(bytes, descriptor.digest)
  // As they stand: fields that the schema does not know belong to the entry too.
  const { manifests } = JSON.parse(bytes.toString('utf8')) as { readonly manifests: readonly Descriptor[] }
  const entries: IndexEntry[] = []
  for (const entry of manifests) {
    if (isIndexType(entry.mediaType)) entries.push(...(await entriesOf(source, entry, from, ctx, depth + 1)))
    else if (isAttestation(entry)) entries.push({ descriptor: entry, platform: undefined, from })
    else if (entry.platform === undefined) entries.push(await manifestEntry(source, entry, from, ctx))
    else entries.push({ descriptor: entry, platform: platformName(entry.platform), from })
  }
  return entries
}

async function manifestEntry(
  source: BlobReader,
  descriptor: Descriptor,
  from: string,
  ctx: Context,
): Promise<IndexEntry> {
  const { platform } = await readImage(source, descriptor, ctx)
  const { mediaType, digest, size, annotations } = descriptor
  const said = annotations === undefined ? {} : { annotations }
  const own = { mediaType, digest, size, ...said, platform: toDescriptorPlatform(platform) }
  return { descriptor: own, platform: formatPlatform(platform), from }
}

// BuildKit's attestations stand in the index as if for a system that nobody has.
function isAttestation({ platform, annotations }: Descriptor): boolean {
  return platform?.os === 'unknown' || annotations?.['vnd.docker.reference.type'] !== undefined
}

function platformName(platform: NonNullable<Descriptor['platform']> & { readonly 'os.version'?: string }): string {
  const known = normalisePlatform(platform)
  if (known !== undefined) return formatPlatform(known)
  const { os, architecture, variant } = platform
  return [os, architecture, variant, platform['os.version']].filter(part => part !== undefined && part !== '').join('/')
}

/**
 * One index of all entries, by platform: whoever joins the same images gets the same bytes, whatever their order. With
 * `replace` the later of two for one platform stays. @throws USAGE for two of one platform.
 */
export function joinEntries(
  entries: readonly IndexEntry[],
  options: { readonly replace: boolean },
): readonly IndexEntry[] {
  const joined = new Map<string, IndexEntry>()
  for (const entry of entries) {
    if (entry.platform === undefined) continue
    const other = joined.get(entry.platform)
    if (other !== undefined && other.descriptor.digest !== entry.descriptor.digest && !options.replace)
      throw duplicate(entry.platform, other, entry)
    joined.set(entry.platform, entry)
  }
  const images = [...joined.values()].sort((a, b) => (a.platform! < b.platform! ? -1 : 1))
  const kept = new Set<string>(images.map(({ descriptor }) => descriptor.digest))
  // What is said of an image that was replaced goes with it.
  const attestations = new Map(
    entries
      .filter(({ platform }) => platform === undefined)
      .filter(({ descriptor }) => kept.has(descriptor.annotations?.['vnd.docker.reference.digest'] ?? ''))
      .map(entry => [entry.descriptor.digest, entry]),
  )
  return [...images, ...[...attestations].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry)]
}

function duplicate(platform: string, one: IndexEntry, other: IndexEntry): CloudimgError {
  const what = (entry: IndexEntry): string => `${entry.descriptor.digest} of "${entry.from}"`
  return new CloudimgError('USAGE', `joining images: two are for ${platform}: ${what(one)} and ${what(other)}`, {
    hint: 'leave one out, or let the later one stay with --replace',
    data: { platform },
  })
}

/** The index as its bytes. */
export function formatIndex(
  entries: readonly IndexEntry[],
  annotations: Readonly<Record<string, string>> = {},
): { readonly bytes: Buffer; readonly mediaType: string } {
  const extra = Object.keys(annotations).length === 0 ? {} : { annotations }
  const manifests = entries.map(({ descriptor }) => descriptor)
  const document = { schemaVersion: 2, mediaType: mediaTypes.index, manifests, ...extra }
  return { bytes: Buffer.from(JSON.stringify(document)), mediaType: mediaTypes.index }
}
