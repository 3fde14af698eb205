import { MiB } from '../core/bytes.ts'
import { parseClusterMetadata } from '../core/cluster-metadata.ts'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { familiarReference, type Reference } from '../core/reference.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { listManifests, readImage } from '../oci/document.ts'
import type { BlobReader } from '../oci/ends.ts'
import { listRootfs } from '../oci/list-rootfs.ts'
import { readImageFile } from '../oci/read-image-file.ts'
import type { DeployImage, DeployPlatform } from './deploy-image.ts'

/** A cluster image of the store, as deploying sees it. @throws IMAGE_INVALID where it is no cluster image. */
export async function openDeployImage(
  source: BlobReader,
  ref: Reference,
  root: Descriptor,
  ctx: Context,
): Promise<DeployImage> {
  const reference = familiarReference(ref)
  const platforms: DeployPlatform[] = []
  for (const descriptor of await listManifests(source, root, ctx)) {
    const image = await readImage(source, descriptor, ctx)
    const { layers } = image.manifest
    const text = await readImageFile(source, layers, 'Metadata', MiB, ctx)
    if (text === undefined) {
      throw new CloudimgError(
        'IMAGE_INVALID',
        `opening "${reference}": it has no Metadata, so it is no cluster image`,
        {
          hint: 'build it with a BASE line, or with bin/k3s in it',
        },
      )
    }
    platforms.push({
      platform: image.platform,
      digest: descriptor.digest,
      metadata: parseClusterMetadata(text.toString('utf8')),
      env: environmentOf(image.config.config?.Env ?? []),
      listRootfs: context => listRootfs(source, layers, context),
    })
  }
  return { reference, digest: root.digest, platforms }
}

/** PATH is for containers: on a host it would hide the host's own programs. */
function environmentOf(lines: readonly string[]): Readonly<Record<string, string>> {
  const pairs = lines.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const)
  return Object.fromEntries(pairs.filter(([name]) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && name !== 'PATH'))
}
