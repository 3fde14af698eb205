import type { RuntimeName } from '../core/cluster-metadata.ts'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import type { HostFacts } from '../host/facts.ts'
import type { ReadonlyHost } from '../host/host.ts'
import type { Finding } from './finding.ts'
import type { DeployStep } from './step.ts'

export type Role = 'server' | 'agent'

/** A machine as the plan sees it: what it shall be, what it is, and what it is given. */
export interface PlannedNode {
  /** As the user named the machine. */
  readonly host: string
  /** As the cluster names it: the machine's host name in lower case. */
  readonly name: string
  readonly role: Role
  /** Its address in the cluster, and the interface that has it. */
  readonly address: string
  readonly interface: string
  readonly facts: HostFacts
  readonly rootfs: NodeRootfs
}

/** The tree of the node's own platform, as it lies or will lie on the host. */
export interface NodeRootfs {
  readonly directory: string
  readonly digest: Digest
  /** Regular files by path in the rootfs. */
  readonly files: ReadonlyMap<string, { readonly digest: Digest }>
}

export type ConfigValue = string | number | boolean | readonly (string | number)[]
export type ConfigMap = Readonly<Record<string, ConfigValue>>

/** What all nodes share. */
export interface Cluster {
  readonly id: string
  /** `v1.31.4+k3s1`; undefined where the image does not tell. */
  readonly version: string | undefined
  readonly hasFeature: (name: string) => boolean
  /** Beyond the addresses of the servers: names by which clients reach the API. */
  readonly tlsSans: readonly string[]
  /** Further keys of the runtime's own configuration, by role. */
  readonly config: Readonly<Record<Role, ConfigMap>>
  readonly datastore: Datastore
  readonly registry: Registry
  /** Registries that the names of the bundle's images begin with, sorted: `docker.io`. */
  readonly registryHosts: readonly string[]
  /** Addresses of its servers, those of `members` and those that are to come: where nodes may have been told to join. */
  readonly servers: readonly string[]
  /** How long one node may take to come up. */
  readonly timeoutSeconds: number
}

/** Where a cluster keeps its state: in a file of its only server, in its servers together, or elsewhere. */
export type Datastore = 'sqlite' | 'etcd' | 'external'

/**
 * Where nodes ask for images that they lack: nowhere, each other, a registry on each server that cloudimg fills and starts, or one
 * that somebody else runs.
 */
export type Registry =
  | { readonly mode: 'none' | 'embedded' | 'managed' }
  | {
      readonly mode: 'url'
      /** `https://registry.example:5000/prefix`, without credentials and without a slash at its end. */
      readonly url: string
      /** Whom nodes log in as; its password is a hole. */
      readonly username?: string
      /** Its certificate is judged by an authority that nodes are given. */
      readonly hasAuthority: boolean
    }

/** What a cluster has already, as a server of it tells. */
export interface Inherited {
  readonly datastore: Datastore
  readonly registry: Registry
  readonly config: ConfigMap
  /** Its own addresses included. */
  readonly tlsSans: readonly string[]
}

export interface Certificate {
  readonly path: string
  /** Milliseconds since 1970. */
  readonly endsAt: number
  /** It signs others. */
  readonly isAuthority: boolean
}

/** What a version of a runtime does about its certificates. */
export interface Renewal {
  /** A start renews those that end within so many days. */
  readonly windowDays: number
  /** New ones can be had whatever time is left. */
  readonly canRotate: boolean
}

export interface RenewOptions {
  /** All are made anew, whatever time they have left. */
  readonly rotate: boolean
}

/** What the scheduler goes by. */
export interface Marks {
  readonly labels: Readonly<Record<string, string>>
  /** `KEY[=VALUE]:EFFECT`, as kubectl takes them. */
  readonly taints: readonly string[]
}

export interface UpgradeOptions {
  /** From the version that runs; only then a node may go back. */
  readonly sameMinor: boolean
  /** Pods leave the node first. */
  readonly drain: boolean
}

/** Where a hole's value comes from. */
export type HoleSource = KeptHole | DerivedHole

/** Read back from a host that has it, else made up once. */
export interface KeptHole {
  readonly hole: string
  readonly host: string
  readonly path: string
  /** Finds the value in the file's text. */
  readonly find: (text: string) => string | undefined
  readonly make: () => string
}

/** Follows from another hole's value, always in the same way. */
export interface DerivedHole {
  readonly hole: string
  readonly from: string
  readonly derive: (value: string) => string
}

/** One file of a support bundle, as one look at a host gives it. */
export interface SupportPart {
  /** Below the host's directory in the bundle. */
  readonly path: string
  /** Lines for the shell that change nothing. */
  readonly script: string
  /** Objects of the cluster as JSON. */
  readonly objects?: true
}

/** What helps to find out what is wrong with a cluster. */
export interface Support {
  /** What every machine tells. $1 is the time since when journals are wanted. */
  readonly hostParts: readonly SupportPart[]
  /** What the cluster tells, but for its secrets: one server is asked. */
  readonly clusterParts: readonly SupportPart[]
  /** What holds secrets among other things: read to know what must not be in the bundle. May have wildcards. */
  readonly secretFiles: readonly string[]
  /** Each line of these is a secret. */
  readonly tokenFiles: readonly string[]
}

/** A node as the cluster's own list has it. */
export interface Member {
  readonly name: string
  readonly role: Role
  /** Its address in the cluster; empty where the list does not tell. */
  readonly address: string
  readonly ready: boolean
  readonly version: string
  /** Why it is not ready, in the kubelet's words. */
  readonly reason: string
  /** Of an embedded datastore; undefined where it has no part in one. */
  readonly voter: boolean | undefined
}

/**
 * One distribution's way of doing things to one node, as steps. Order, parallelism and waiting belong to the phases.
 * Looking methods get hosts that cannot be changed. @throws UNSUPPORTED from whatever a runtime cannot do; it never pretends.
 */
export interface Runtime {
  readonly name: RuntimeName
  /** Pure. */
  support(): Support
  /** Pure: what of this machine would keep the runtime from working. */
  requirements(node: PlannedNode, cluster: Cluster): readonly Finding[]
  /** Pure: what a machine tells of its cluster; undefined where it is no server of one that cloudimg made. */
  inherited(server: PlannedNode): Inherited | undefined
  /** Pure: the registry that a machine was told to ask; undefined where cloudimg told it none. */
  registry(facts: HostFacts): Registry | undefined
  /** `given`: values that the user brought, by hole. */
  holes(firstServer: PlannedNode, cluster: Cluster, given?: Readonly<Record<string, string>>): readonly HoleSource[]
  install(node: PlannedNode, cluster: Cluster): readonly DeployStep[]
  /** A server's own registry is filled with the images of its rootfs, and runs; nothing where the cluster has none. */
  serveImages(node: PlannedNode, cluster: Cluster): readonly DeployStep[]
  init(node: PlannedNode, cluster: Cluster): readonly DeployStep[]
  join(node: PlannedNode, cluster: Cluster, via: PlannedNode): readonly DeployStep[]
  /** Pure. */
  renewal(version: string | undefined): Renewal
  /** New certificates for a node that is up, or was: `servers` are all of them. Authorities stay as they are. */
  renew(
    node: PlannedNode,
    cluster: Cluster,
    servers: readonly [PlannedNode, ...PlannedNode[]],
    options: RenewOptions,
  ): readonly DeployStep[]
  /** Gives a node that is up the container images of its rootfs. */
  importImages(node: PlannedNode, cluster: Cluster): readonly DeployStep[]
  /** Gives a node of a running cluster those that it lacks, its runtime's own included. `via`: a server that runs. */
  healImages(node: PlannedNode, cluster: Cluster, via: PlannedNode): readonly DeployStep[]
  /** `via`: a server that runs; kubectl is asked there. */
  upgrade(node: PlannedNode, cluster: Cluster, via: PlannedNode, options: UpgradeOptions): readonly DeployStep[]
  /** A node leaves the cluster, and k3s its machine. */
  remove(node: PlannedNode, cluster: Cluster, via: PlannedNode): readonly DeployStep[]
  /** The cluster forgets a node whose machine is gone. */
  forget(member: Member, via: PlannedNode): readonly DeployStep[]
  /** A node that knows only servers which are none any more is told of another one. */
  redirect(node: PlannedNode, cluster: Cluster, via: PlannedNode): readonly DeployStep[]
  /** The datastore's state comes to the operator, as `NAME/…`; nothing where the datastore is not ours. */
  snapshot(server: PlannedNode, cluster: Cluster, name: string): readonly DeployStep[]
  /** Files of the rootfs that the cluster is given, by the server that is named, once the nodes are Ready. */
  apply(
    server: PlannedNode,
    cluster: Cluster,
    nodes: readonly PlannedNode[],
    paths: readonly string[],
  ): readonly DeployStep[]
  /** Lines for the shell on the server that is named, in its rootfs, once the nodes are Ready. */
  launch(
    server: PlannedNode,
    cluster: Cluster,
    nodes: readonly PlannedNode[],
    lines: readonly string[],
  ): readonly DeployStep[]
  /** Charts of the rootfs, to where this server serves them. */
  charts(server: PlannedNode): readonly DeployStep[]
  /** Labels and taints that a node shall have, set by the server that is named; others are left alone. */
  mark(node: PlannedNode, cluster: Cluster, via: PlannedNode, marks: Marks): readonly DeployStep[]
  reset(node: PlannedNode, cluster: Cluster): readonly DeployStep[]

  /** All nodes of the cluster, as a server sees them. */
  nodes(server: ReadonlyHost, ctx: Context): Promise<readonly Member[]>
  /** The names of the images that a node has: tags and digests, in full. */
  images(node: ReadonlyHost, ctx: Context): Promise<readonly string[]>
  /** The node's certificates, authorities included. */
  certificates(node: ReadonlyHost, ctx: Context): Promise<readonly Certificate[]>
  /** A kubeconfig that works from elsewhere. */
  kubeconfig(server: ReadonlyHost, address: string, ctx: Context): Promise<string>
}
