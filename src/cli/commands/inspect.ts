import type { Platform } from '../../core/platform.ts'
import { formatPlatform, samePlatform } from '../../core/platform.ts'
import { formatReference } from '../../core/reference.ts'
import { listManifests, readImage } from '../../oci/document.ts'
import { findImage } from '../image-argument.ts'
import type { Session } from '../session.ts'

/** `cloudimg inspect REF`: the index, and manifest and config of each platform, as JSON. */
export async function inspect(session: Session, reference: string, platform: Platform | undefined): Promise<void> {
  const store = await session.store()
  const { ref, descriptor } = await findImage(store, reference, session.ctx)
  const images = []
  for (const manifest of await listManifests(store, descriptor, session.ctx)) {
    const image = await readImage(store, manifest, session.ctx)
    if (platform !== undefined && !samePlatform(platform, image.platform)) continue
    images.push({
      platform: formatPlatform(image.platform),
      digest: manifest.digest,
      manifest: image.manifest,
      config: image.config,
    })
  }
  const value = {
    name: formatReference(ref),
    digest: descriptor.digest,
    mediaType: descriptor.mediaType,
    platforms: images,
  }
  session.answer(value, JSON.stringify(value, undefined, 2))
}
