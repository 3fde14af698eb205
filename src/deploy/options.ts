import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { SshOptions } from '../host/openssh.ts'
import type { ConfigMap, Role } from '../runtime/runtime.ts'
import type { DeployImage } from './deploy-image.ts'

/** What `cloudimg run` is asked for. Only the image is needed: the rest has the value that its comment names. */
export interface RunOptions {
  readonly image: DeployImage
  /** This machine alone, as a server, unless told. */
  readonly hosts?: { readonly servers: readonly string[]; readonly agents: readonly string[] }
  readonly ssh?: SshOptions
  readonly cluster?: ClusterOptions
  /** Findings that the plan shall cure by a step of its own. */
  readonly fixes?: readonly 'default-route'[]
  readonly limits?: RunLimits
  /** Journals and kubeconfigs; `stateHome()` unless told. */
  readonly stateHome?: string
}

export interface ClusterOptions {
  /** Address in the cluster by host as it was named, where it cannot be told. */
  readonly nodeIps?: Readonly<Record<string, string>>
  readonly tlsSans?: readonly string[]
  /** Further keys of the runtime's configuration, by role. */
  readonly config?: Partial<Readonly<Record<Role, ConfigMap>>>
  /** The k3s of the tests, which runs nothing. */
  readonly allowStandIn?: boolean
}

export interface RunLimits {
  /** For one node to come up; 900 unless told. */
  readonly timeoutSeconds?: number
  /** Hosts worked on at once; 10 unless told. */
  readonly concurrency?: number
}

/** Where operators keep the state of their clusters (XDG base directory specification). */
export function stateHome(env: NodeJS.ProcessEnv = process.env): string {
  const base = env.XDG_STATE_HOME
  return join(base !== undefined && isAbsolute(base) ? base : join(env.HOME ?? homedir(), '.local/state'), 'cloudimg')
}
