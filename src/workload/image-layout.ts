import { type Digest, hexOf, isDigest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { compareBytes } from '../io/files.ts'
import { type Descriptor, mediaTypes } from '../oci/descriptor.ts'

/** Where a cluster image has its workload images: one OCI image layout, blobs shared (image-spec, image-layout.md). */
export const layoutDirectory = 'images/oci'

/** For those who parse no JSON: the installer. One line for each name. */
export const layoutListPath = `${layoutDirectory}/images.txt`

/** One name of one image, for one platform. */
export interface LaidImage {
  /** As containerd shall know it: in full, with a tag or a digest. */
  readonly name: string
  /** The platform's own manifest; no index, since the other platforms are not there (facts/k3s.md §4.1). */
  readonly manifest: Pick<Descriptor, 'mediaType' | 'digest' | 'size'>
  /** Config and layers. */
  readonly blobs: readonly Digest[]
}

export function layoutBlobPath(digest: Digest): string {
  return `${layoutDirectory}/blobs/sha256/${hexOf(digest)}`
}

/** `index.json`. Names stand in full in both annotations: old k3s takes the second one as it is. */
export function formatLayoutIndex(images: readonly LaidImage[]): Buffer {
  const manifests = sortedByName(images).map(({ name, manifest: { mediaType, digest, size } }) => ({
    mediaType,
    digest,
    size,
    annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name },
  }))
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }))
}

/** `images.txt`: manifest digest, its size, its media type, the name, then the other blobs; between blanks. */
export function formatLayoutList(images: readonly LaidImage[]): Buffer {
  const lines = sortedByName(images).map(({ name, manifest, blobs }) =>
    [manifest.digest, manifest.size, manifest.mediaType, name, ...blobs].join(' '),
  )
  return Buffer.from(lines.map(line => `${line}\n`).join(''))
}

/** @throws IMAGE_INVALID naming the line. */
export function parseLayoutList(text: string): readonly LaidImage[] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map((line, index) => {
      const [digest = '', size = '', mediaType = '', name = '', ...blobs] = line.split(' ')
      if (!isDigest(digest) || !/^\d+$/.test(size) || name === '' || !blobs.every(isDigest)) {
        throw new CloudimgError('IMAGE_INVALID', `reading ${layoutListPath}: line ${index + 1} is no image`)
      }
      return { name, manifest: { mediaType, digest, size: Number(size) }, blobs }
    })
}

/** Its own manifest and all that it names, each once. */
export function blobsOf({ manifest, blobs }: LaidImage): readonly Digest[] {
  return [...new Set([manifest.digest, ...blobs])]
}

export const layoutMarker = Buffer.from('{"imageLayoutVersion":"1.0.0"}')

function sortedByName(images: readonly LaidImage[]): readonly LaidImage[] {
  return [...images].sort((a, b) => compareBytes(a.name, b.name))
}
