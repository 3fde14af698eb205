import type { HistoryEntry } from '../oci/image.ts'
import type { BaseImage } from './base-images.ts'
import type { MadeLayer } from './layers/layer-maker.ts'

/** A base's layers as they stand: neither packed again nor described anew. */
export function baseLayers({ manifest, config }: BaseImage): readonly MadeLayer[] {
  return manifest.layers.map((descriptor, index) => ({
    descriptor,
    diffId: config.rootfs.diff_ids[index]!,
    files: {},
    cached: true,
  }))
}

/** A base's history as it stands. Where it tells of fewer layers than there are, the rest is told of before it. */
export function baseHistory(base: BaseImage | undefined): readonly HistoryEntry[] {
  if (base === undefined) return []
  const history = base.config.history ?? []
  const told = history.filter(entry => entry.empty_layer !== true).length
  const untold = Math.max(0, base.manifest.layers.length - told)
  return [...Array.from({ length: untold }, () => ({ comment: 'a layer of the base image' })), ...history]
}

/** Where the lowest layers come from (image-spec, annotations.md). */
export function baseAnnotations(base: BaseImage | undefined): Readonly<Record<string, string>> {
  if (base === undefined) return {}
  return {
    'org.opencontainers.image.base.name': base.name,
    'org.opencontainers.image.base.digest': base.descriptor.digest,
  }
}
