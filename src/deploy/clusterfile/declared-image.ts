import { CloudimgError } from '../../core/error.ts'
import type { ClusterMetadata } from '../../core/cluster-metadata.ts'
import { quoteArgv } from '../../host/quote.ts'
import type { DeployImage } from '../deploy-image.ts'
import type { Clusterfile } from './schema.ts'

type Spec = Clusterfile['spec']

/** The image as the file wants to have it started: which applications, what commands, in which environment. */
export function declaredImage(image: DeployImage, spec: Spec): DeployImage {
  const { env, applications, commands, hooks } = spec
  if (env === undefined && applications === undefined && commands === undefined && hooks?.afterUp === undefined)
    return image
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
  const { env = {} } = spec
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
  const lines = [...(spec.commands ?? metadata.launch?.commands ?? []), ...(spec.hooks?.afterUp ?? [])]
  const variables = Object.entries(env).map(([key, value]) => `export ${quoteArgv([`${key}=${value}`])}`)
  return {
    ...metadata,
    ...(metadata.applications === undefined
      ? {}
      : { applications: known.map(app => ({ ...app, env: { ...app.env, ...env } })) }),
    launch: {
      applications: [...(spec.applications ?? metadata.launch?.applications ?? [])],
      commands: lines.length === 0 ? [] : [...variables, ...lines],
    },
  }
}
