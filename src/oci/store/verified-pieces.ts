import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { withFileErrors } from '../../io/files.ts'
import { digestMismatch } from '../../io/hash.ts'
import { type Piece, readPieces } from '../../io/pieces.ts'
import { blobPath, recipePath, type StoreLayout } from './layout.ts'
import type { Recipe } from './recipe.ts'
import { isSealed, sealUnchanged, verifyAndSeal } from './seal.ts'

/** Where a blob's bytes lie on disk. They are right: sealed, or read and hashed now. @throws DIGEST_MISMATCH. */
export async function verifiedBlob(layout: StoreLayout, digest: Digest, size: number, ctx: Context): Promise<Piece[]> {
  const file = blobPath(layout, digest)
  await withFileErrors('reading', file, async () => {
    if (!isSealed(await stat(file, { bigint: true }), digest)) await verifyAndSeal(file, digest, ctx.signal)
  })
  return [{ file, offset: 0, length: size }]
}

/** As `verifiedBlob`, of a layer that is put together: its recipe is sealed by the layer's digest, and so are its parts. */
export async function verifiedRecipe(
  layout: StoreLayout,
  digest: Digest,
  recipe: Recipe,
  ctx: Context,
): Promise<Piece[]> {
  const pieces = recipe.segments.map(segment =>
    'inline' in segment
      ? segment.inline
      : { file: blobPath(layout, segment.blob), offset: segment.offset, length: segment.length },
  )
  const parts = new Set(recipe.segments.flatMap(segment => ('inline' in segment ? [] : [segment.blob])))
  for (const part of parts) await verifiedBlob(layout, part, 0, ctx)
  const path = recipePath(layout, digest)
  const before = await withFileErrors('reading', path, () => stat(path, { bigint: true }))
  if (isSealed(before, digest)) return pieces
  const hash = createHash('sha256')
  for await (const chunk of readPieces(pieces)) {
    ctx.signal.throwIfAborted()
    hash.update(chunk)
  }
  const found: Digest = `sha256:${hash.digest('hex')}`
  if (found !== digest) throw digestMismatch(`layer ${digest}`, digest, found)
  await sealUnchanged(path, digest, before)
  return pieces
}
