import type { ContainerConfig } from '../oci/image.ts'

/** What an instruction without a layer changes. Lists and maps are whole new values. */
export type ConfigChange =
  | { readonly set: 'env'; readonly pairs: readonly (readonly [name: string, value: string])[] }
  | { readonly set: 'labels'; readonly pairs: readonly (readonly [name: string, value: string])[] }
  | { readonly set: 'cmd'; readonly argv: readonly string[] }
  | { readonly set: 'entrypoint'; readonly argv: readonly string[] }
  | { readonly set: 'workdir'; readonly path: string }
  | { readonly set: 'user'; readonly user: string }
  | { readonly set: 'expose'; readonly ports: readonly string[] }
  | { readonly set: 'volumes'; readonly paths: readonly string[] }
  | { readonly set: 'stop-signal'; readonly signal: string }
  | { readonly set: 'author'; readonly author: string }

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
    case 'entrypoint': {
      const { Cmd: _reset, ...rest } = config
      return { ...rest, Entrypoint: change.argv }
    }
    case 'workdir':
      return { ...config, WorkingDir: change.path }
    case 'user':
      return { ...config, User: change.user }
    case 'expose':
      return { ...config, ExposedPorts: { ...config.ExposedPorts, ...emptyValues(change.ports) } }
    case 'volumes':
      return { ...config, Volumes: { ...config.Volumes, ...emptyValues(change.paths) } }
    case 'stop-signal':
      return { ...config, StopSignal: change.signal }
    case 'author':
      return config
  }
}

function mergeEnv(env: readonly string[], pairs: readonly (readonly [string, string])[]): readonly string[] {
  const merged = new Map(env.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
  for (const [name, value] of pairs) merged.set(name, value)
  return [...merged].map(([name, value]) => `${name}=${value}`)
}

function emptyValues(keys: readonly string[]): Record<string, object> {
  return Object.fromEntries(keys.map(key => [key, {}]))
}
