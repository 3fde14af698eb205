import { randomBytes } from 'node:crypto'
import { mkdir, rename } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Context } from '../../../core/context.ts'
import type { Digest } from '../../../core/digest.ts'
import { lstatIfPresent, syncDirectory, withFileErrors } from '../../../io/files.ts'
import { clearAbandoned } from '../abandoned.ts'
import { recipePath, type StoreLayout } from '../layout.ts'
import { whileSweeping } from '../sweep.ts'
import { ContentCheck } from './content-check.ts'
import type { Fault } from './fault.ts'

/**
 * Moves what is broken to `quarantine/`, where nothing reads it and the next gc removes it: then it is missing, and pulling
 * or building again brings it. Returns the faults that this cured. @throws FILE_ERROR.
 */
export async function repairStore(
  layout: StoreLayout,
  faults: readonly Fault[],
  ctx: Context,
): Promise<readonly Fault[]> {
  const movable = faults.filter(fault => fault.path !== undefined)
  await clearAbandoned(layout.temporary)
  if (movable.length === 0) return []
  await withFileErrors('making', layout.quarantine, () => mkdir(layout.quarantine, { recursive: true }))
  // Nobody begins to rely on a broken blob while it goes; one that was written anew since it was looked at stays.
  await whileSweeping(layout, async () => {
    const content = new ContentCheck(layout, ctx, () => undefined)
    for (const { kind, digest, path = '' } of movable) {
      if (kind === 'broken' && digest !== undefined && (await isSound(content, layout, path, digest))) continue
      const place = join(layout.quarantine, `${basename(path)}.${randomBytes(4).toString('hex')}`)
      await withFileErrors('moving', path, async () => {
        if ((await lstatIfPresent(path)) !== undefined) await rename(path, place)
      })
    }
    for (const folder of [layout.blobs, layout.recipes]) await syncDirectory(folder)
  })
  return movable
}

async function isSound(content: ContentCheck, layout: StoreLayout, path: string, digest: Digest): Promise<boolean> {
  const found = path === recipePath(layout, digest) ? await content.recipe(digest) : await content.blob(digest)
  return found?.state === 'sound'
}
