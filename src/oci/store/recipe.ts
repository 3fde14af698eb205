import * as z from 'zod'
import { isDigest, type Digest } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import type { ByteRange } from '../ends.ts'

/** A run of a layer's bytes: written out, or a part of a blob in the pool. */
export type Segment =
  { readonly inline: Buffer } | { readonly blob: Digest; readonly offset: number; readonly length: number }

const schema = z.object({
  size: z.number().int().nonnegative(),
  segments: z.array(
    z.union([
      z.strictObject({ inline: z.base64() }),
      z.strictObject({
        blob: z.string().refine(isDigest),
        offset: z.number().int().nonnegative(),
        length: z.number().int().nonnegative(),
      }),
    ]),
  ),
})

/** A layer that is not a file: the sum of its segments. Its digest is its file's name. */
export interface Recipe {
  readonly size: number
  readonly segments: readonly Segment[]
}

export function segmentLength(segment: Segment): number {
  return 'inline' in segment ? segment.inline.length : segment.length
}

export function formatRecipe(recipe: Recipe): string {
  const segments = recipe.segments.map(segment =>
    'inline' in segment ? { inline: segment.inline.toString('base64') } : segment,
  )
  return JSON.stringify({ size: recipe.size, segments })
}

/** @throws IMAGE_INVALID where the text is no recipe. */
export function parseRecipe(text: string, path: string): Recipe {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    json = undefined
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success) throw new CloudimgError('IMAGE_INVALID', `reading recipe "${path}": not a recipe`)
  const segments = parsed.data.segments.map((segment): Segment =>
    'inline' in segment ? { inline: Buffer.from(segment.inline, 'base64') } : { ...segment, blob: segment.blob },
  )
  return { size: parsed.data.size, segments }
}

/** The segments, cut, that give just the bytes of the range. */
export function cutSegments(segments: readonly Segment[], range: ByteRange): Segment[] {
  const end = range.length === undefined ? Number.POSITIVE_INFINITY : range.offset + range.length
  const cut: Segment[] = []
  let at = 0
  for (const segment of segments) {
    const length = segmentLength(segment)
    const from = Math.max(0, range.offset - at)
    const to = Math.min(length, end - at)
    if (from < to) cut.push(cutSegment(segment, from, to))
    at += length
  }
  return cut
}

function cutSegment(segment: Segment, from: number, to: number): Segment {
  if ('inline' in segment) return { inline: segment.inline.subarray(from, to) }
  return { blob: segment.blob, offset: segment.offset + from, length: to - from }
}
