import type { ContainerConfig } from '../oci/image.ts'

type Pairs = readonly (readonly [name: string, value: string])[]

/** What an instruction without a layer changes. */
export type ConfigChange =
  | { readonly set: 'env'; readonly pairs: Pairs }
  | { readonly set: 'labels'; readonly pairs: Pairs }
  | { readonly set: 'cmd'; readonly argv: readonly string[] }

/** The config that `FROM scratch` begins with, as BuildKit has it (facts/oci.md §4.3). */
export const scratchConfig: ContainerConfig = {
  Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
  WorkingDir: '/',
}

export function applyChange(config: ContainerConfig, change: ConfigChange): ContainerConfig {
  switch (change.set) {
    case 'env':
      return { ...config, Env: mergeEnv(config.Env ?? [], change.pairs) }
    case 'labels':
      return { ...config, Labels: { ...config.Labels, ...Object.fromEntries(change.pairs) } }
    case 'cmd':
      return { ...config, Cmd: change.argv }
  }
}

function mergeEnv(env: readonly string[], pairs: Pairs): readonly string[] {
  const merged = new Map(env.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
  for (const [name, value] of pairs) merged.set(name, value)
  return [...merged].map(([name, value]) => `${name}=${value}`)
}
