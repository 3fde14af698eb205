import { formatBytes } from '../../core/bytes.ts'
import { shortDigest } from '../../core/digest.ts'
import type { Platform } from '../../core/platform.ts'
import { imageFor } from '../../oci/document.ts'
import { findImage } from '../image-argument.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

/** `cloudimg history REF`: which line of the Kubefile made which layer, newest first as docker shows it. */
export async function history(session: Session, reference: string, platform: Platform): Promise<void> {
  const store = await session.store()
  const { descriptor } = await findImage(store, reference, session.ctx)
  const { manifest, config } = await imageFor(store, descriptor, platform, session.ctx)
  let next = 0
  const rows = (config.history ?? []).map(entry => {
    const layer = entry.empty_layer === true ? undefined : manifest.layers[next++]
    return {
      layer: layer?.digest,
      size: layer?.size ?? 0,
      mediaType: layer?.mediaType,
      createdBy: entry.created_by ?? '',
    }
  })
  rows.reverse()
  session.answer({ history: rows }, () =>
    formatTable(
      ['LAYER', 'SIZE', 'CREATED BY'],
      rows.map(row => [
        row.layer === undefined ? '-' : shortDigest(row.layer),
        formatBytes(row.size),
        row.createdBy.replaceAll(/\s+/g, ' '),
      ]),
    ),
  )
}
