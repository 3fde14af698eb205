import { digestOf } from '../../src/core/digest.ts'
import type { DeployImage } from '../../src/deploy/deploy-image.ts'
import { mediaTypes } from '../../src/oci/descriptor.ts'
import {
  formatLayoutIndex,
  formatLayoutList,
  type LaidImage,
  layoutBlobPath,
  layoutMarker,
} from '../../src/workload/image-layout.ts'
import { sampleClusterImage, type SampleOptions } from './sample-cluster-image.ts'

/** What the sample's workloads are called. */
export const servedNames = ['docker.io/library/web:1', 'registry.local:5000/team/api:2'] as const

const features = [
  'cluster-init-from-sqlite',
  'disable-default-registry-endpoint',
  'embedded-registry',
  'embedded-registry-ga',
]

/** A small cluster image with a registry's program and collected images; `names` are theirs. */
export function sampleServedImage(options: SampleOptions = {}, names: readonly string[] = servedNames): DeployImage {
  const laid: LaidImage[] = []
  const blobs: Record<string, string> = {}
  const blobOf = (content: string, mediaType: string) => {
    const digest = digestOf(content)
    blobs[layoutBlobPath(digest)] = content
    return { mediaType, digest, size: Buffer.byteLength(content) }
  }
  for (const name of names) {
    // A name by digest is another name of the first image.
    const what = name.includes('@') ? names[0]! : name
    const config = blobOf(JSON.stringify({ os: 'linux', architecture: 'amd64', what }), mediaTypes.config)
    const layers = [blobOf(`layer of ${what}`, mediaTypes.layer)]
    const manifest = blobOf(
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.manifest, config, layers }),
      mediaTypes.manifest,
    )
    laid.push({ name, manifest, blobs: [config.digest, layers[0]!.digest] })
  }
  return sampleClusterImage({
    metadata: {
      features,
      collected: laid.map(({ name, manifest }) => ({ name, digest: manifest.digest, size: 1, askedBy: [] })),
      ...options.metadata,
    },
    files: {
      'bin/registry': 'the program of a registry',
      'images/oci/images.txt': formatLayoutList(laid).toString(),
      'images/oci/index.json': formatLayoutIndex(laid).toString(),
      'images/oci/oci-layout': layoutMarker.toString(),
      ...blobs,
      ...options.files,
    },
  })
}
