import type { ContainerConfig, Healthcheck } from '../oci/image.ts'
import type { PlannedApplication } from './plan.ts'

type Pairs = readonly (readonly [name: string, value: string])[]

/** What an instruction changes that says how containers of the image run. */
export type ConfigChange =
  | { readonly set: 'env'; readonly pairs: Pairs }
  | { readonly set: 'labels'; readonly pairs: Pairs }
  | { readonly set: 'cmd'; readonly argv: readonly string[] }
  /** `resetsCmd`: the CMD that is there was inherited, and does not fit a new program. */
  | { readonly set: 'entrypoint'; readonly argv: readonly string[]; readonly resetsCmd: boolean }
  | { readonly set: 'workdir'; readonly path: string }
  | { readonly set: 'user'; readonly user: string }
  | { readonly set: 'ports'; readonly ports: readonly string[] }
  | { readonly set: 'volumes'; readonly paths: readonly string[] }
  | { readonly set: 'stop-signal'; readonly signal: string }
  | { readonly set: 'shell'; readonly argv: readonly string[] }
  | { readonly set: 'healthcheck'; readonly healthcheck: Healthcheck }
  | { readonly set: 'onbuild'; readonly trigger: string }
  | { readonly set: 'author'; readonly author: string }

/** What containers run with, and who made the image. */
export interface StageConfig {
  readonly config: ContainerConfig
  readonly author: string | undefined
  /** sealer's applications; none unless told. */
  readonly applications?: readonly PlannedApplication[]
}

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The config that `FROM scratch` begins with, as BuildKit has it (facts/oci.md §4.3). */
export const scratchConfig: ContainerConfig = { Env: [defaultPath], WorkingDir: '/' }

/** What a stage takes over from the image or stage it begins with: everything but the triggers, which have run. */
export function inheritConfig(config: ContainerConfig): ContainerConfig {
  const { OnBuild: _triggers, ...rest } = config
  const env = rest.Env ?? []
  return env.some(line => line.startsWith('PATH=')) ? rest : { ...rest, Env: [...env, defaultPath] }
}

export function applyChange(stage: StageConfig, change: ConfigChange): StageConfig {
  return change.set === 'author'
    ? { ...stage, author: change.author }
    : { ...stage, config: changeConfig(stage.config, change) }
}

/** The config with labels over its own. */
export function withLabels(config: ContainerConfig, labels: Readonly<Record<string, string>>): ContainerConfig {
  return Object.keys(labels).length === 0 ? config : { ...config, Labels: { ...config.Labels, ...labels } }
}

function changeConfig(config: ContainerConfig, change: Exclude<ConfigChange, { set: 'author' }>): ContainerConfig {
  switch (change.set) {
    case 'env':
      return { ...config, Env: mergeEnv(config.Env ?? [], change.pairs) }
    case 'labels':
      return { ...config, Labels: { ...config.Labels, ...Object.fromEntries(change.pairs) } }
    case 'cmd':
      return { ...config, Cmd: change.argv }
    case 'entrypoint': {
      const { Cmd, ...rest } = config
      return { ...rest, Entrypoint: change.argv, ...(change.resetsCmd || Cmd === undefined ? {} : { Cmd }) }
    }
    case 'workdir':
      return { ...config, WorkingDir: change.path }
    case 'user':
      return { ...config, User: change.user }
    case 'ports':
      return { ...config, ExposedPorts: withKeys(config.ExposedPorts, change.ports) }
    case 'volumes':
      return { ...config, Volumes: withKeys(config.Volumes, change.paths) }
    case 'stop-signal':
      return { ...config, StopSignal: change.signal }
    case 'shell':
      return { ...config, Shell: change.argv }
    case 'healthcheck':
      return { ...config, Healthcheck: change.healthcheck }
    case 'onbuild':
      return { ...config, OnBuild: [...(config.OnBuild ?? []), change.trigger] }
  }
}

// Sorted, so that the order of lines that mean the same does not change the digest.
function withKeys(set: Readonly<Record<string, object>> = {}, keys: readonly string[]): Record<string, object> {
  return Object.fromEntries([...new Set([...Object.keys(set), ...keys])].sort().map(key => [key, {}]))
}

function mergeEnv(env: readonly string[], pairs: Pairs): readonly string[] {
  const merged = new Map(envPairs(env))
  for (const [name, value] of pairs) merged.set(name, value)
  return [...merged].map(([name, value]) => `${name}=${value}`)
}

/** `NAME=VALUE` lines as pairs. */
export function envPairs(env: readonly string[]): Pairs {
  return env.map(line => {
    const equals = line.indexOf('=')
    return equals < 0 ? [line, ''] : [line.slice(0, equals), line.slice(equals + 1)]
  })
}
