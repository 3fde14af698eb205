import * as z from 'zod'
import type { Context } from '../../core/context.ts'
import { formatBytes } from '../../core/bytes.ts'
import { isDigest, shortDigest } from '../../core/digest.ts'
import { each } from '../../core/each.ts'
import { CloudimgError } from '../../core/error.ts'
import { parseJson } from '../../core/json.ts'
import type { Descriptor } from '../descriptor.ts'
import type { BlobReader } from '../ends.ts'

/** In an archive or layout directory that is a delta: what it leaves out. Loaders of others pass over it. */
export const deltaFile = 'cloudimg-delta.json'

/** A blob that the other side was said to have, and the images it has it from. */
export interface LeftOut {
  readonly blob: Descriptor
  readonly names: readonly string[]
}

const schema = z.object({
  schemaVersion: z.literal(1),
  leftOut: z.array(
    z.object({
      mediaType: z.string(),
      digest: z.string().refine(isDigest),
      size: z.number().int().nonnegative(),
      names: z.array(z.string()),
    }),
  ),
})

export function formatDelta(leftOut: readonly LeftOut[]): Buffer {
  const list = leftOut.map(({ blob: { mediaType, digest, size }, names }) => ({ mediaType, digest, size, names }))
  return Buffer.from(JSON.stringify({ schemaVersion: 1, leftOut: list }))
}

/** @throws ARCHIVE_INVALID. */
export function parseDelta(bytes: Buffer, what: string): readonly LeftOut[] {
  const parsed = schema.safeParse(parseJson(bytes))
  if (!parsed.success) throw new CloudimgError('ARCHIVE_INVALID', `reading ${what}: "${deltaFile}" is no list of blobs`)
  return parsed.data.leftOut.map(({ names, ...blob }) => ({ blob, names }))
}

/** @throws IMAGE_NOT_FOUND naming the images that the delta builds on, where a blob of theirs is not at the target. */
export async function wantBase(
  what: string,
  leftOut: readonly LeftOut[],
  target: BlobReader,
  ctx: Context,
): Promise<void> {
  const present = await each(leftOut, 8, ({ blob }) => target.has(blob, ctx))
  const missing = leftOut.filter((_, i) => present[i] !== true)
  const [first] = missing
  if (first === undefined) return
  const bytes = missing.reduce((sum, { blob }) => sum + blob.size, 0)
  const names = [...new Set(missing.flatMap(entry => entry.names))]
  const blobs = missing.length === 1 ? 'a blob' : `${missing.length} blobs`
  const of = names.length === 0 ? '' : ` of ${names.slice(0, 3).join(', ')}${names.length > 3 ? ' and others' : ''}`
  throw new CloudimgError(
    'IMAGE_NOT_FOUND',
    `loading ${what}: it is a delta that leaves out ${blobs}${of} (${formatBytes(bytes)}), not in the local store: ${shortDigest(first.blob.digest)}${missing.length > 1 ? ', …' : ''}`,
    {
      hint:
        names.length === 0
          ? 'load what it builds on first, or have it saved without --have'
          : `load or pull ${names[0]} first, or have it saved without --have`,
      data: { missing: missing.length, base: names.join(',') },
    },
  )
}
