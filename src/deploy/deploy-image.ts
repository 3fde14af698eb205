import type { ClusterMetadata } from '../core/cluster-metadata.ts'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { formatPlatform, type Platform, samePlatform } from '../core/platform.ts'
import type { RootfsFile } from '../oci/rootfs-file.ts'

/** As much of a cluster image as deploying needs, wherever it lies. */
export interface DeployImage {
  /** As people name it. */
  readonly reference: string
  /** Of the index. */
  readonly digest: Digest
  readonly platforms: readonly DeployPlatform[]
}

export interface DeployPlatform {
  readonly platform: Platform
  /** Of this platform's manifest: names the rootfs directory on hosts. */
  readonly digest: Digest
  readonly metadata: ClusterMetadata
  /** What ENV sets; nothing unless told. */
  readonly env?: Readonly<Record<string, string>>
  /** The merged tree in byte order of paths. */
  listRootfs(ctx: Context): Promise<readonly RootfsFile[]>
}

/** @throws PLATFORM_MISSING naming what the image has. */
export function platformFor(image: DeployImage, platform: Platform, host: string): DeployPlatform {
  const found = image.platforms.find(entry => samePlatform(entry.platform, platform))
  if (found !== undefined) return found
  const has = image.platforms.map(entry => formatPlatform(entry.platform)).join(', ')
  throw new CloudimgError(
    'PLATFORM_MISSING',
    `deploying "${image.reference}" on "${host}": the host is ${formatPlatform(platform)}, the image has ${has}`,
    { hint: `build the image with --platform ${formatPlatform(platform)} too`, data: { host } },
  )
}
