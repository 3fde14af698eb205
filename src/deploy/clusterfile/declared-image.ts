import { CloudimgError } from '../../core/error.ts'
import type { ClusterMetadata } from '../../core/cluster-metadata.ts'
import type { DeployImage } from '../deploy-image.ts'
import type { Clusterfile } from './schema.ts'

type Spec = Clusterfile['spec']

/** The image as the file wants to have it started: which applications, and what commands. */
export function declaredImage(image: DeployImage, spec: Spec): DeployImage {
  if (spec.applications === undefined && spec.commands === undefined) return image
  return {
    ...image,
    platforms: image.platforms.map(platform => ({
      ...platform,
      metadata: declaredLaunch(platform.metadata, spec, image.reference),
    })),
  }
}

/** @throws CLUSTERFILE_INVALID for an application that the image does not have. */
function declaredLaunch(metadata: ClusterMetadata, spec: Spec, reference: string): ClusterMetadata {
  const known = metadata.applications ?? []
  const unknown = spec.applications?.find(name => !known.some(app => app.name === name))
  if (unknown !== undefined)
    throw new CloudimgError(
      'CLUSTERFILE_INVALID',
      `starting "${unknown}": "${reference}" has no application of that name`,
      {
        hint: `it has ${known.map(app => app.name).join(', ') || 'none'}`,
      },
    )
  return {
    ...metadata,
    launch: {
      applications: [...(spec.applications ?? metadata.launch?.applications ?? [])],
      commands: [...(spec.commands ?? metadata.launch?.commands ?? [])],
    },
  }
}
