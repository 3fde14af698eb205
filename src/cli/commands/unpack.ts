import { formatPlatform, type Platform } from '../../core/platform.ts'
import { familiarReference } from '../../core/reference.ts'
import { imageFor } from '../../oci/document.ts'
import { unpackLayers } from '../../oci/unpack.ts'
import { findImage } from '../image-argument.ts'
import type { Session } from '../session.ts'

/** `cloudimg unpack REF DIR`: one platform's tree as plain files. */
export async function unpack(
  session: Session,
  reference: string,
  directory: string,
  platform: Platform,
): Promise<void> {
  const store = await session.store()
  const { ref, descriptor } = await findImage(store, reference, session.ctx)
  const image = await imageFor(store, descriptor, platform, session.ctx)
  await unpackLayers(store, image.manifest.layers, directory, session.ctx, image.config.rootfs.diff_ids)
  session.answer(
    { name: familiarReference(ref), platform: formatPlatform(platform), digest: image.descriptor.digest, directory },
    `unpacked ${familiarReference(ref)} (${formatPlatform(platform)}) into ${directory}`,
  )
}
