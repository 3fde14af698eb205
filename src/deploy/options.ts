import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import type { SshOptions } from '../host/openssh.ts'
import type { ConfigMap, Registry, Role } from '../runtime/runtime.ts'
import type { Plan } from './plan.ts'
import type { DeployImage } from './deploy-image.ts'

/** What every action is asked; each has the value that its comment names unless told. */
export interface ReachOptions {
  readonly ssh?: SshOptions
  readonly limits?: RunLimits
  /** Journals, snapshots and kubeconfigs; `stateHome()` unless told. */
  readonly stateHome?: string
  /** What else was said; nothing unless told. */
  readonly wishes?: Wishes
  /** Sees the plan before the first change, and throws where it may not be; nobody is asked unless told. */
  readonly approve?: (plan: Plan) => Promise<void>
}

/** What `cloudimg run` is asked for. Only the image is needed. */
export interface RunOptions extends ReachOptions {
  readonly image: DeployImage
  /** This machine alone, as a server, unless told. */
  readonly hosts?: HostLists
  readonly cluster?: ClusterOptions
  /** Findings that the plan shall cure by a step of its own. */
  readonly fixes?: readonly 'default-route'[]
}

/** Machines by what they shall be, as users name them. */
export interface HostLists {
  readonly servers: readonly string[]
  readonly agents: readonly string[]
}

export interface ClusterOptions {
  /** Address in the cluster by host as it was named, where it cannot be told. */
  readonly nodeIps?: Readonly<Record<string, string>>
  /** What the cluster has already, unless told; else none. */
  readonly tlsSans?: readonly string[]
  /** A virtual address or a balancer's name before the servers, as kubeconfigs shall name it. cloudimg does not make it. */
  readonly endpoint?: string
  /** Further keys of the runtime's configuration, by role; those that the cluster has already unless told. */
  readonly config?: Partial<Readonly<Record<Role, ConfigMap>>>
  /** A datastore outside of the cluster, credentials included: a secret. Embedded unless told. */
  readonly datastoreEndpoint?: string
  /** What the cluster has already, unless told; else none. */
  readonly registry?: RegistryChoice
}

/** Where nodes shall ask for images that they lack. */
export interface RegistryChoice {
  readonly mode: Registry['mode']
  /** With `url`: `https://host[:port][/prefix]`, without credentials. */
  readonly url?: string
  /** With `url`: whom nodes log in as. The password is a secret. */
  readonly login?: { readonly username: string; readonly password: string }
  /** With `url`: PEM of the authority that nodes trust there. */
  readonly authority?: string
}

/** Consents and preferences that no machine can tell. All are `no` unless told. */
export interface Wishes {
  /** An even number of servers. */
  readonly allowEven?: boolean
  /** SQLite becomes embedded etcd, which a second server needs. */
  readonly convertDatastore?: boolean
  /** The k3s of the tests, which runs nothing. */
  readonly allowStandIn?: boolean
  /** The image says that its k3s is that one. */
  readonly standIn?: boolean
  /** Pods leave a node before it is upgraded. */
  readonly drain?: boolean
  /** Certificates are made anew whatever time they have left. */
  readonly rotate?: boolean
  /** Ids of findings that shall not refuse: errors become warnings. Only those of `ignorableFindings` do. */
  readonly ignore?: readonly string[]
  /** Hosts pass on to each other what they have. */
  readonly fanOut?: boolean
  /** Images of the bundle that the registry of a URL lacks are pushed there. */
  readonly registryPush?: boolean
  /** Agents that may be switched or restarted at once; 1 unless told. */
  readonly maxUnavailable?: number
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
