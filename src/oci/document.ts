import * as z from 'zod'
import { buffer } from 'node:stream/consumers'
import type { Context } from '../core/context.ts'
import { isDigest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { normalisePlatform, formatPlatform, type Platform, samePlatform } from '../core/platform.ts'
import { limits } from '../io/limits.ts'
import { type Descriptor, isIndexType, isManifestType } from './descriptor.ts'
import type { BlobReader } from './ends.ts'
import type { ImageConfig, Index, Manifest } from './image.ts'

const strings = z.record(z.string(), z.string())
const digest = z.string().refine(isDigest, 'not a sha256 digest')
const descriptor = z.object({
  mediaType: z.string().min(1),
  digest,
  size: z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER),
  platform: z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() }).optional(),
  annotations: strings.nullish().transform(value => value ?? undefined),
  artifactType: z.string().optional(),
})
// GHSA-77vh-xpmg-72qh: what is an index to one reader and a manifest to another is neither.
const manifestShape = {
  mediaType: z.string().refine(isManifestType, 'not the media type of a manifest').optional(),
  manifests: z.undefined('an index, too').optional(),
}
const indexShape = {
  mediaType: z.string().refine(isIndexType, 'not the media type of an index').optional(),
  layers: z.undefined('a manifest, too').optional(),
  config: z.undefined('a manifest, too').optional(),
}

const manifestSchema = z.object({
  ...manifestShape,
  schemaVersion: z.literal(2),
  artifactType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor).max(10_000),
  subject: descriptor.optional(),
  annotations: strings.nullish(),
})
const indexSchema = z.object({
  ...indexShape,
  schemaVersion: z.literal(2),
  artifactType: z.string().optional(),
  manifests: z.array(descriptor).max(limits.indexEntries),
  subject: descriptor.optional(),
  annotations: strings.nullish(),
})
const configSchema = z.looseObject({
  os: z.string(),
  architecture: z.string(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digest) }),
  history: z.array(z.looseObject({ empty_layer: z.boolean().optional() })).optional(),
})

/** The bytes that a descriptor covers, verified. Registries and stores alike are read through this. */
export async function readDocument(
  source: BlobReader,
  target: Descriptor,
  ctx: Context,
  maxBytes: number = limits.manifestBytes,
): Promise<Buffer> {
  if (target.size > maxBytes)
    throw new CloudimgError(
      'IMAGE_INVALID',
      `reading ${target.digest}: ${target.size} bytes, at most ${maxBytes} are taken`,
    )
  return await buffer(await source.open(target, ctx))
}

/** @throws IMAGE_INVALID naming the first field that is wrong. */
export function parseManifest(bytes: Uint8Array, what: string): Manifest {
  return parse(bytes, manifestSchema, `manifest ${what}`) as unknown as Manifest
}

export function parseIndex(bytes: Uint8Array, what: string): Index {
  return parse(bytes, indexSchema, `index ${what}`) as unknown as Index
}

export function parseConfig(bytes: Uint8Array, what: string): ImageConfig {
  return parse(bytes, configSchema, `config ${what}`) as unknown as ImageConfig
}

function parse<T>(bytes: Uint8Array, schema: z.ZodType<T>, what: string): T {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new CloudimgError('IMAGE_INVALID', `reading ${what}: not JSON`, { cause: error })
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new CloudimgError(
    'IMAGE_INVALID',
    `reading ${what}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`,
  )
}

/** To be called for each document below one root. @throws IMAGE_INVALID when they are too many or too much. */
export type DocumentCount = (document: Descriptor) => void

export function countDocuments(root: Descriptor): DocumentCount {
  let [seen, bytes] = [0, 0]
  return ({ size }) => {
    if (++seen <= limits.documents && (bytes += size) <= limits.documentBytes) return
    throw new CloudimgError(
      'IMAGE_INVALID',
      `reading ${root.digest}: more than ${limits.documents} manifests and indexes below it, or ${limits.documentBytes} bytes of them`,
    )
  }
}

/** An image for one platform: the manifest's descriptor and what it says. */
export interface PlatformImage {
  readonly descriptor: Descriptor
  readonly manifest: Manifest
  readonly config: ImageConfig
  readonly platform: Platform
}

/** The image manifests below a descriptor (itself, or those of an index, nested ones too), attestations left out. */
export async function listManifests(
  source: BlobReader,
  root: Descriptor,
  ctx: Context,
  depth = 0,
  count = countDocuments(root),
): Promise<readonly Descriptor[]> {
  count(root)
  if (isManifestType(root.mediaType)) return [root]
  if (!isIndexType(root.mediaType))
    throw new CloudimgError('IMAGE_INVALID', `reading ${root.digest}: "${root.mediaType}" is no image`)
  if (depth >= limits.indexDepth)
    throw new CloudimgError('IMAGE_INVALID', `reading ${root.digest}: indexes nested deeper than ${limits.indexDepth}`)
  const index = parseIndex(await readDocument(source, root, ctx), root.digest)
  const lists = await Promise.all(
    index.manifests
      .filter(
        entry => entry.platform?.os !== 'unknown' && (isIndexType(entry.mediaType) || isManifestType(entry.mediaType)),
      )
      .map(entry => listManifests(source, entry, ctx, depth + 1, count)),
  )
  return lists.flat()
}

export async function readImage(source: BlobReader, descriptor: Descriptor, ctx: Context): Promise<PlatformImage> {
  const manifest = parseManifest(await readDocument(source, descriptor, ctx), descriptor.digest)
  const config = parseConfig(
    await readDocument(source, manifest.config, ctx, limits.configBytes),
    manifest.config.digest,
  )
  const platform = normalisePlatform(config)
  if (platform === undefined) {
    throw new CloudimgError(
      'PLATFORM_MISSING',
      `reading image ${descriptor.digest}: it is for ${config.os}/${config.architecture}, which cloudimg does not know`,
    )
  }
  return { descriptor, manifest, config, platform }
}

/** @throws PLATFORM_MISSING listing what there is. */
export async function imageFor(
  source: BlobReader,
  root: Descriptor,
  platform: Platform,
  ctx: Context,
): Promise<PlatformImage> {
  const found: string[] = []
  for (const descriptor of await listManifests(source, root, ctx)) {
    const claimed = descriptor.platform === undefined ? undefined : normalisePlatform(descriptor.platform)
    if (claimed !== undefined && !samePlatform(claimed, platform)) {
      found.push(formatPlatform(claimed))
      continue
    }
    const image = await readImage(source, descriptor, ctx)
    if (samePlatform(image.platform, platform)) return image
    found.push(formatPlatform(image.platform))
  }
  throw new CloudimgError(
    'PLATFORM_MISSING',
    `reading image ${root.digest}: no ${formatPlatform(platform)} in it, found ${found.join(', ') || 'none'}`,
    {
      hint: `build or pull it with --platform ${formatPlatform(platform)}`,
    },
  )
}
