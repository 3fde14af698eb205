import type { Context } from '../../core/context.ts'
import { formatBytes } from '../../core/bytes.ts'
import { shortDigest } from '../../core/digest.ts'
import { isCloudimgError } from '../../core/error.ts'
import { formatPlatform } from '../../core/platform.ts'
import { familiarReference, parseReference } from '../../core/reference.ts'
import { listManifests, readImage } from '../../oci/document.ts'
import type { StoredRef } from '../../oci/store/refs.ts'
import type { Store } from '../../oci/store/store.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

interface ImageRow {
  readonly name: string
  readonly digest: string
  readonly platforms: readonly string[]
  /** Bytes of all layers, each counted once. */
  readonly size: number
  readonly runtime?: string
  /** Why the image cannot be read; all else but its name is unknown then. */
  readonly broken?: string
}

/** `cloudimg images`: what is in the local store. */
export async function images(session: Session): Promise<void> {
  const store = await session.store()
  const rows = await Promise.all((await store.refs()).map(ref => describeOrTell(store, ref, session.ctx)))
  session.answer({ images: rows }, () =>
    session.quiet
      ? rows.map(row => row.digest).join('\n')
      : formatTable(
          ['IMAGE', 'DIGEST', 'RUNTIME', 'PLATFORMS', 'SIZE'],
          rows.map(row => [
            row.name,
            shortDigest(row.digest as `sha256:${string}`),
            row.runtime ?? '-',
            row.broken === undefined ? row.platforms.join(',') : 'broken: see cloudimg fsck',
            row.broken === undefined ? formatBytes(row.size) : '-',
          ]),
        ),
  )
}

/** One image that cannot be read is no reason not to show the others. */
async function describeOrTell(store: Store, ref: StoredRef, ctx: Context): Promise<ImageRow> {
  try {
    return await describe(store, ref, ctx)
  } catch (error) {
    if (!isCloudimgError(error) || ctx.signal.aborted) throw error
    const name = familiarReference(parseReference(ref.name))
    return { name, digest: ref.target.digest, platforms: [], size: 0, broken: error.message }
  }
}

async function describe(store: Store, ref: StoredRef, ctx: Context): Promise<ImageRow> {
  const sizes = new Map<string, number>()
  const platforms: string[] = []
  let runtime: string | undefined
  for (const descriptor of await listManifests(store, ref.target, ctx)) {
    const image = await readImage(store, descriptor, ctx)
    platforms.push(formatPlatform(image.platform))
    for (const layer of image.manifest.layers) sizes.set(layer.digest, layer.size)
    const name = image.manifest.annotations?.['io.cloudimg.runtime']
    if (name !== undefined)
      runtime = `${name} ${image.manifest.annotations?.['io.cloudimg.runtime.version'] ?? ''}`.trim()
  }
  return {
    name: familiarReference(parseReference(ref.name)),
    digest: ref.target.digest,
    platforms,
    size: [...sizes.values()].reduce((sum, size) => sum + size, 0),
    ...(runtime === undefined ? {} : { runtime }),
  }
}
