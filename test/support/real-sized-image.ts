import { MiB } from '../../src/core/bytes.ts'
import type { DeployImage } from '../../src/deploy/deploy-image.ts'
import { sampleClusterImage } from './sample-cluster-image.ts'

const sizes = { 'bin/k3s': 70 * MiB, 'images/k3s-airgap-images-amd64.tar.zst': 300 * MiB }

/** What its files weigh together, without the small ones. */
export const realBundle = 370 * MiB

/** A k3s release as large as they are, for simulations: its two large files are stand-ins that have the size only. */
export function realSizedImage(): DeployImage {
  const installer = `#!/bin/sh\n${'# the installer\n'.repeat(5500)}`
  return sampleClusterImage({ sizes, files: { 'scripts/cloudimg-node': installer } })
}
