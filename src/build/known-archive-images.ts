import { join } from 'node:path'
import * as z from 'zod'
import { listArchiveImages } from '../artifact/archive-images.ts'
import { type Context, withTask } from '../core/context.ts'
import { digestOf, hexOf } from '../core/digest.ts'
import { readFileIfPresent } from '../io/files.ts'
import { writeStoreFile } from '../oci/store/draft.ts'
import type { Store } from '../oci/store/store.ts'

const namesSchema = z.array(z.string())

export interface ArchiveFile {
  /** Asked for only where the images are not known. */
  readonly path: () => Promise<string>
  /** For people. */
  readonly name: string
  /** What its bytes are known by: a digest, or the identity of a context file. */
  readonly identity: string
  /** Written too lately for its identity to be trusted later on. */
  readonly racy: boolean
}

/** The images in an archive. Reading one means unpacking it whole, so that what was found is remembered. */
export async function archiveImages(store: Store, file: ArchiveFile, ctx: Context): Promise<readonly string[]> {
  const record = join(store.layout.cache, 'archive-images', `${hexOf(digestOf(file.identity))}.json`)
  const known = await readFileIfPresent(record)
  if (known !== undefined) return namesSchema.parse(JSON.parse(known.toString('utf8')))
  const names = await withTask(ctx, `reading the images in ${file.name}`, async () =>
    listArchiveImages(await file.path(), ctx),
  )
  if (!file.racy) await writeStoreFile(store.layout, record, JSON.stringify(names))
  return names
}
