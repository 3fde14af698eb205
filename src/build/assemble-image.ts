import { type Platform, toDescriptorPlatform } from '../core/platform.ts'
import { type Descriptor, mediaTypes } from '../oci/descriptor.ts'
import type { ContainerConfig, HistoryEntry, ImageConfig, Manifest } from '../oci/image.ts'
import type { Store } from '../oci/store/store.ts'
import type { BuiltLayer } from './layers/layer-cache.ts'

/** Everything an image for one platform is made of. */
export interface ImageParts {
  readonly platform: Platform
  readonly config: ContainerConfig
  readonly author: string | undefined
  /** With their times: a base's own keep theirs. */
  readonly history: readonly HistoryEntry[]
  readonly layers: readonly BuiltLayer[]
  readonly annotations: Readonly<Record<string, string>>
  /** Seconds. */
  readonly epoch: number
}

export interface AssembledImage {
  readonly manifest: Descriptor
  readonly config: Descriptor
}

export function timestamp(epoch: number): string {
  return new Date(epoch * 1000).toISOString().replace('.000Z', 'Z')
}

/** Keys stand in a fixed order and nothing depends on the clock: the same parts give the same digests. */
export async function assembleImage(store: Store, parts: ImageParts): Promise<AssembledImage> {
  const { platform, layers, epoch } = parts
  const imageConfig: ImageConfig = {
    created: timestamp(epoch),
    ...(parts.author === undefined ? {} : { author: parts.author }),
    ...toDescriptorPlatform(platform),
    config: sortKeys(parts.config),
    rootfs: { type: 'layers', diff_ids: layers.map(layer => layer.diffId) },
    history: parts.history,
  }
  const config = await store.put(json(imageConfig), mediaTypes.config)
  const document: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config,
    layers: layers.map(layer => layer.descriptor),
    ...(Object.keys(parts.annotations).length === 0 ? {} : { annotations: sortKeys(parts.annotations) }),
  }
  const manifest = await store.put(json(document), mediaTypes.manifest)
  return { config, manifest: { ...manifest, platform: toDescriptorPlatform(platform) } }
}

/** Always an index, also for one platform. */
export async function assembleIndex(
  store: Store,
  manifests: readonly Descriptor[],
  annotations: Readonly<Record<string, string>>,
): Promise<Descriptor> {
  const extra = Object.keys(annotations).length === 0 ? {} : { annotations: sortKeys(annotations) }
  return await store.put(json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests, ...extra }), mediaTypes.index)
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

function sortKeys<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) as T
}
