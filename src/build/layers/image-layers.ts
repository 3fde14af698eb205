import type { Digest } from '../../core/digest.ts'
import { familiarReference, parseReference } from '../../core/reference.ts'
import { blobsOf, type LaidImage } from '../../workload/image-layout.ts'
import type { TreeFile } from '../tree.ts'
import { largeFile, type LayerSpec } from './layer-spec.ts'

/** A blob that goes into the layout, and the image names that need it. */
interface PlacedBlob {
  readonly file: TreeFile
  readonly owners: readonly string[]
}

/**
 * The blobs of images as layers: a large one alone, small ones together by image; what several images share is with what
 * just those share. So an image that stays as it is stays in layers that stay as they are. Where that would be more than
 * `most` layers, large blobs are with their image's small ones.
 */
export function imageLayers(
  images: readonly LaidImage[],
  files: ReadonlyMap<Digest, TreeFile>,
  createdBy: string,
  most: number,
): readonly LayerSpec[] {
  const placed = placeBlobs(images, files)
  const fine = group(placed, createdBy, true)
  return fine.length <= most ? fine : group(placed, createdBy, false)
}

function placeBlobs(images: readonly LaidImage[], files: ReadonlyMap<Digest, TreeFile>): readonly PlacedBlob[] {
  const owners = new Map<TreeFile, Set<string>>()
  // Two names of one image own it together.
  const names = new Map(images.map(image => [image.manifest.digest, image.name]))
  for (const image of images) {
    for (const digest of blobsOf(image)) {
      const file = files.get(digest)
      if (file === undefined) continue
      owners.set(file, (owners.get(file) ?? new Set()).add(names.get(image.manifest.digest)!))
    }
  }
  return [...owners].map(([file, of]) => ({ file, owners: [...of] }))
}

function group(placed: readonly PlacedBlob[], createdBy: string, largeAlone: boolean): readonly LayerSpec[] {
  const groups = new Map<string, { owners: readonly string[]; entries: TreeFile[] }>()
  for (const { file, owners } of placed) {
    const alone = largeAlone && file.size >= largeFile
    const key = alone ? file.path : owners.join(' ')
    const found = groups.get(key) ?? { owners, entries: [] }
    found.entries.push(file)
    groups.set(key, found)
  }
  return [...groups.values()].map(({ owners, entries }) => ({
    entries: entries.sort((a, b) => (a.path < b.path ? -1 : 1)),
    createdBy: `${createdBy} # ${owners.map(shortName).join(', ')}`,
  }))
}

function shortName(name: string): string {
  return familiarReference(parseReference(name))
}
