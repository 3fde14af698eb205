import { CloudimgError } from '../../core/error.ts'

export type RegistryMode = 'none' | 'embedded' | 'managed'

/** The text of registries.yaml, undefined where the cluster has none. @throws UNSUPPORTED for modes that are not built. */
export function renderRegistries(mode: RegistryMode): string | undefined {
  if (mode === 'none') return undefined
  throw new CloudimgError(
    'UNSUPPORTED',
    `deploying with registry mode "${mode}": this version of cloudimg cannot do it`,
    {
      hint: 'leave the registry out: every image of the bundle is imported on every node',
    },
  )
}
