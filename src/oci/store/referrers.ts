import { join } from 'node:path'
import * as z from 'zod'
import { type Digest, hexOf, isDigest } from '../../core/digest.ts'
import { compareBytes, readdirIfPresent, readFileIfPresent, withFileErrors } from '../../io/files.ts'
import { limits } from '../../io/limits.ts'
import type { Descriptor } from '../descriptor.ts'
import type { Relation } from '../relation.ts'
import { writeStoreFile } from './draft.ts'
import type { StoreLayout } from './layout.ts'

const schema = z.object({
  mediaType: z.string(),
  digest: z.string().refine(isDigest),
  size: z.number().int().nonnegative(),
  artifactType: z.string().optional(),
  annotations: z.record(z.string(), z.string()).optional(),
})

// One file for each referrer: processes that add at the same time do not overwrite each other.
function folderOf(layout: StoreLayout, subject: Digest): string {
  return join(layout.refs, '_referrers', hexOf(subject))
}

export async function writeReferrer(layout: StoreLayout, { subject, referrer }: Relation): Promise<void> {
  const path = join(folderOf(layout, subject), `${hexOf(referrer.digest)}.json`)
  const content = Buffer.from(JSON.stringify(referrer))
  if ((await readFileIfPresent(path))?.equals(content) !== true) await writeStoreFile(layout, path, content)
}

/** In byte order of their digests. */
export async function listReferrers(layout: StoreLayout, subject: Digest): Promise<readonly Descriptor[]> {
  const folder = folderOf(layout, subject)
  return await withFileErrors('listing', folder, async () => {
    const names = (await readdirIfPresent(folder)).filter(name => /^[0-9a-f]{64}\.json$/.test(name)).sort(compareBytes)
    const found = await Promise.all(names.map(name => readReferrer(join(folder, name))))
    return found.filter(referrer => referrer !== undefined)
  })
}

async function readReferrer(path: string): Promise<Descriptor | undefined> {
  const text = await readFileIfPresent(path, limits.manifestBytes)
  try {
    const { artifactType, annotations, ...rest } = schema.parse(JSON.parse(text?.toString('utf8') ?? ''))
    return {
      ...rest,
      ...(artifactType === undefined ? {} : { artifactType }),
      ...(annotations === undefined ? {} : { annotations }),
    }
  } catch {
    return undefined
  }
}
