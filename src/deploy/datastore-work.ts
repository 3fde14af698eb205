import type { SnapshotState } from '../runtime/snapshot-bundle.ts'

/** What is to be done to a cluster's datastore, beyond what machines tell. */
export type DatastoreWork = RestoreWork | RecoverWork

export interface RestoreWork {
  readonly kind: 'restore'
  /** As the operator names the snapshot. */
  readonly id: string
  /** The cluster and the node that it was taken of. */
  readonly cluster: string
  readonly node: string
  /** Seconds since 1970. */
  readonly takenAt: number
  readonly snapshot: SnapshotState
  /** As below. */
  readonly lost: readonly string[]
}

export interface RecoverWork {
  readonly kind: 'recover'
  /** The host whose data count, as it is reached. */
  readonly server: string
  /** A server that answers, so that no majority is lost. */
  readonly answering: string | undefined
  /** Although one answers. */
  readonly forced: boolean
  /** The operator has begun it, so that one answers by now. */
  readonly underWay: boolean
  /** Names of servers that nobody can reach: the cluster forgets them. */
  readonly lost: readonly string[]
}
