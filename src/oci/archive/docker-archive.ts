import { createHash } from 'node:crypto'
import * as z from 'zod'
import type { Context } from '../../core/context.ts'
import { parseJson } from '../../core/json.ts'
import { type Digest, digestOf } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import { sniffCompression } from '../../io/compression.ts'
import { limits } from '../../io/limits.ts'
import { readPieces } from '../../io/pieces.ts'
import { type Descriptor, mediaTypes } from '../descriptor.ts'
import { parseConfig } from '../document.ts'
import { type ArchiveFiles, readStretch, type Stretch } from './archive-files.ts'
import type { LeftOut } from './delta.ts'

/** What an archive holds, whatever its form: names, and where the bytes of each digest are. */
export interface ArchiveContent {
  readonly images: readonly ArchivedImage[]
  /** Entries of index.json that nobody named: signatures, SBOMs, or images of another's making. */
  readonly unnamed: readonly Descriptor[]
  readonly blobs: ReadonlyMap<Digest, Stretch | Buffer>
  /** Of a delta: what it takes for granted. */
  readonly leftOut: readonly LeftOut[]
}

export interface ArchivedImage {
  /** As the archive says it: a full reference; undefined where it names a tag alone, or nothing. */
  readonly name: string | undefined
  readonly tag: string | undefined
  readonly descriptor: Descriptor
}

const schema = z
  .array(
    z.object({
      Config: z.string(),
      RepoTags: z
        .array(z.string())
        .nullish()
        .transform(tags => tags ?? []),
      Layers: z.array(z.string()).max(10_000),
    }),
  )
  .max(limits.indexEntries)

/**
 * Reads what `docker save` wrote before it knew OCI. The archive has no manifests and no layer digests: each layer is
 * hashed here, and a manifest is made that names the very bytes of the archive.
 */
export async function readDockerArchive(archive: ArchiveFiles, list: Stretch, ctx: Context): Promise<ArchiveContent> {
  const blobs = new Map<Digest, Stretch | Buffer>()
  const images: ArchivedImage[] = []
  const parsed = schema.safeParse(parseJson(await readStretch(archive, 'manifest.json', list, limits.manifestBytes)))
  if (!parsed.success)
    throw new CloudimgError('ARCHIVE_INVALID', `reading ${archive.what}: "manifest.json" is no list of images`)
  const hashed = new Map<Stretch, Descriptor>()
  for (const { Config, RepoTags, Layers } of parsed.data) {
    const config = await readStretch(archive, Config, find(archive, Config), limits.configBytes)
    const { diff_ids } = parseConfig(config, Config).rootfs
    if (diff_ids.length !== Layers.length)
      throw new CloudimgError(
        'IMAGE_INVALID',
        `reading ${archive.what}: "${Config}" has ${diff_ids.length} layers, manifest.json says ${Layers.length}`,
      )
    const layers: Descriptor[] = []
    for (const [i, path] of Layers.entries()) {
      const stretch = find(archive, path)
      const layer = hashed.get(stretch) ?? (await describeLayer(stretch, ctx))
      hashed.set(stretch, layer)
      blobs.set(layer.digest, stretch)
      if (layer.mediaType === mediaTypes.layer && layer.digest !== diff_ids[i])
        throw new CloudimgError(
          'DIGEST_MISMATCH',
          `reading ${archive.what}: layer "${path}": wanted ${diff_ids[i]}, found ${layer.digest}`,
        )
      layers.push(layer)
    }
    const described = { mediaType: mediaTypes.config, digest: digestOf(config), size: config.length }
    const manifest = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.manifest, config: described, layers }),
    )
    const descriptor = { mediaType: mediaTypes.manifest, digest: digestOf(manifest), size: manifest.length }
    blobs.set(described.digest, config).set(descriptor.digest, manifest)
    const names = RepoTags.length === 0 ? [undefined] : RepoTags
    for (const name of names) images.push({ name, tag: undefined, descriptor })
  }
  return { images, unnamed: [], blobs, leftOut: [] }
}

function find(archive: ArchiveFiles, path: string): Stretch {
  const stretch = archive.files.get(path)
  if (stretch === undefined) throw new CloudimgError('ARCHIVE_INVALID', `reading ${archive.what}: "${path}" is missing`)
  return stretch
}

async function describeLayer(stretch: Stretch, ctx: Context): Promise<Descriptor> {
  const hash = createHash('sha256')
  let head: Buffer | undefined
  for await (const chunk of readPieces(stretch.extents)) {
    ctx.signal.throwIfAborted()
    head ??= chunk.subarray(0, 6)
    hash.update(chunk)
  }
  const compression = sniffCompression(head ?? Buffer.alloc(0))
  const mediaType =
    compression === 'gzip' ? mediaTypes.layerGzip : compression === 'zstd' ? mediaTypes.layerZstd : mediaTypes.layer
  return { mediaType, digest: `sha256:${hash.digest('hex')}`, size: stretch.size }
}
