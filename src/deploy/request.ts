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
}
