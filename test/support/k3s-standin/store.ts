/** A Kubernetes object, as far as everyone needs it. */
export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: Metadata
  readonly [field: string]: unknown
}

export interface Metadata {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly creationTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly [field: string]: unknown
}

/** `registry/<group>/<resource>/<namespace or ->/<name>`; a prefix of it lists. */
export type Key = string

/** Where a server keeps the cluster's objects: its own disk, or the servers that hold the majority. */
export interface Store {
  get(key: Key): Promise<KubeObject | undefined>
  list(prefix: string): Promise<readonly KubeObject[]>
  /**
   * Writes, and gives the object a new resourceVersion. `expect`: the version that must be there, `absent` for none.
   * `volatile` values need not survive a power cut (leases).
   */
  put(key: Key, object: KubeObject, options?: PutOptions): Promise<KubeObject>
  delete(key: Key): Promise<KubeObject | undefined>
  /** Everything, for a snapshot or another leader. */
  dump(): Promise<readonly (readonly [Key, KubeObject])[]>
}

export interface PutOptions {
  readonly expect?: string
  readonly volatile?: boolean
}

/** Somebody else was faster. */
export class Conflict extends Error {}
