import type { Digest } from '../core/digest.ts'
import type { DescriptorPlatform } from '../core/platform.ts'

/** Points at content by media type, digest and size (image-spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly platform?: DescriptorPlatform
  readonly annotations?: Readonly<Record<string, string>>
  readonly artifactType?: string
}

export const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  layerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
} as const

/** What a registry is asked for: every form that we can read. */
export const manifestAccept = [mediaTypes.index, mediaTypes.manifest, mediaTypes.dockerIndex, mediaTypes.dockerManifest]

export function isIndexType(mediaType: string): boolean {
  return mediaType === mediaTypes.index || mediaType === mediaTypes.dockerIndex
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === mediaTypes.manifest || mediaType === mediaTypes.dockerManifest
}

export type LayerCompression = 'none' | 'gzip' | 'zstd'

/** Undefined for a media type that is no layer tar. */
export function layerCompression(mediaType: string): LayerCompression | undefined {
  switch (mediaType) {
    case mediaTypes.layer:
    case mediaTypes.dockerLayer:
      return 'none'
    case mediaTypes.layerGzip:
    case mediaTypes.dockerLayerGzip:
      return 'gzip'
    case mediaTypes.layerZstd:
      return 'zstd'
    default:
      return undefined
  }
}
