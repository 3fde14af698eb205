import type { RootfsFile } from '../oci/rootfs-file.ts'
import type { DatastoreWork } from './datastore-work.ts'
import type { DeployImage } from './deploy-image.ts'
import type { DeclaredEnvironment } from './environment.ts'
import type { Inventory } from './inventory.ts'
import type { ClusterOptions, ReachOptions } from './options.ts'

/** One action as it is asked for, whoever found out which machines it is about. */
export interface ActionRequest extends ReachOptions {
  /** What the machines run already unless told. */
  readonly image?: DeployImage
  readonly inventory: Inventory
  /** Names of members that the cluster shall forget; none unless told. */
  readonly forgotten?: readonly string[]
  readonly cluster?: ClusterOptions
  /** None unless told. */
  readonly env?: DeclaredEnvironment
  readonly fixes?: readonly 'default-route'[]
  /** To restore it, or to recover it; it is left alone unless told. */
  readonly datastore?: DatastoreWork
  /** What the plan's digests name beyond the files of images. */
  readonly brings?: readonly RootfsFile[]
  /** Secret values that the user brings, by hole. */
  readonly given?: Readonly<Record<string, string>>
}
