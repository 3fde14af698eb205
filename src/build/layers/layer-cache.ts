import { createHash } from 'node:crypto'
import { join } from 'node:path'
import * as z from 'zod'
import type { Context } from '../../core/context.ts'
import { parseJson } from '../../core/json.ts'
import { isDigest, type Digest } from '../../core/digest.ts'
import { readFileIfPresent } from '../../io/files.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { writeStoreFile } from '../../oci/store/draft.ts'
import type { Store } from '../../oci/store/store.ts'
import type { LayerEntry } from '../tree.ts'
import type { Compression } from './compress.ts'
import type { LayerSpec } from './layer-spec.ts'

/** A finished layer. */
export interface BuiltLayer {
  readonly descriptor: Descriptor
  readonly diffId: Digest
  /** sha256 of those files in it whose digest somebody asked for, by path. */
  readonly files: Readonly<Record<string, Digest>>
}

/** A layer made before; `provisional` where its files had been written too lately for their identity to be trusted. */
export type RememberedLayer = BuiltLayer & { readonly provisional: boolean }

/** Raised whenever the same entries would give other bytes, or digests of other files are asked for. */
const formatVersion = 2

/**
 * The key of a layer: all that its bytes depend on. Context files enter by identity, not by content: when nothing was
 * touched nothing is read.
 */
export function layerKey(
  spec: LayerSpec,
  options: { readonly epoch: number; readonly compression: Compression },
): string {
  const hash = createHash('sha256')
  hash.update(
    JSON.stringify([
      formatVersion,
      process.versions.zstd ?? '',
      process.versions.zlib ?? '',
      options.epoch,
      options.compression,
    ]),
  )
  for (const entry of spec.entries) hash.update(JSON.stringify(keyParts(entry)))
  return hash.digest('hex')
}

function keyParts(entry: LayerEntry): readonly (string | number)[] {
  if (entry.type === 'whiteout') return [entry.type, entry.path]
  const xattrs = Object.entries(entry.xattrs ?? {}).flatMap(([name, value]) => [name, value.toString('hex')])
  const base = [entry.type, entry.path, entry.mode, entry.uid, entry.gid, ...xattrs]
  if (entry.type === 'directory') return base
  if (entry.type === 'symlink') return [...base, entry.linkTarget]
  if (entry.type !== 'file') return [...base, entry.deviceMajor ?? 0, entry.deviceMinor ?? 0]
  if (entry.links !== undefined) base.push(`links ${entry.links}`)
  switch (entry.content.from) {
    case 'context':
      return [...base, entry.size, entry.content.path, entry.content.identity]
    case 'memory':
      return [...base, createHash('sha256').update(entry.content.bytes).digest('hex')]
    case 'pool':
      return [...base, entry.size, entry.content.digest]
    case 'tar':
      return [...base, entry.size, entry.content.tar.diffId, entry.content.offset]
  }
}

/** Whether a file was written so lately that a later write might leave its identity as it is. */
export function isRacy(spec: LayerSpec): boolean {
  return spec.entries.some(entry => entry.type === 'file' && entry.content.from === 'context' && entry.content.racy)
}

const digest = z.string().refine(isDigest)
const schema = z.object({
  descriptor: z.object({ mediaType: z.string(), digest, size: z.number() }),
  diffId: digest,
  files: z.record(z.string(), digest),
  provisional: z.boolean(),
})

function recordPath(store: Store, key: string): string {
  return join(store.layout.cache, 'layers', `${key}.json`)
}

/** A layer made before, if its bytes are still in the store. */
export async function recallLayer(store: Store, key: string, ctx: Context): Promise<RememberedLayer | undefined> {
  const text = await readFileIfPresent(recordPath(store, key))
  if (text === undefined) return undefined
  const parsed = schema.safeParse(parseJson(text.toString('utf8')))
  if (!parsed.success) return undefined
  return (await store.has(parsed.data.descriptor, ctx)) ? parsed.data : undefined
}

export async function rememberLayer(store: Store, key: string, layer: BuiltLayer, provisional: boolean): Promise<void> {
  const { diffId, files } = layer
  const { mediaType, digest, size } = layer.descriptor
  const record = { descriptor: { mediaType, digest, size }, diffId, files, provisional }
  await writeStoreFile(store.layout, recordPath(store, key), JSON.stringify(record))
}
