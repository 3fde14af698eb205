import { isCloudimgError } from '../core/error.ts'
import type { Context } from '../core/context.ts'
import { chooseCluster, type RecordedHost } from './cluster-record.ts'
import { addressOf, type ClusterChoice, findCluster, type FoundCluster } from './discover.ts'
import type { Ends } from './ends.ts'
import type { InventoryEntry } from './inventory.ts'
import { type ReachOptions, stateHome } from './options.ts'

/** A machine of a cluster; what the cluster says of it is there only where the cluster answers. */
export interface KnownNode extends InventoryEntry {
  readonly name: string
}

export interface Everyone {
  readonly id: string
  /** Members first, then those that the operator remembers beside them. */
  readonly nodes: readonly KnownNode[]
  /** Undefined where no server answers any more. */
  readonly found: FoundCluster | undefined
}

/**
 * All machines of a cluster. The operator's own list counts where no server answers any more: what was cut off, or has come to
 * grief, must find the rest.
 */
export async function everyone(
  choice: ClusterChoice,
  reach: ReachOptions,
  ends: Ends,
  ctx: Context,
): Promise<Everyone> {
  try {
    const found = await findCluster(choice, reach, ends, ctx)
    const missing = found.recorded.filter(({ name }) => !found.nodes.some(node => node.name === name))
    return { id: found.id, nodes: [...found.nodes, ...missing.map(recalled)], found }
  } catch (error) {
    if (choice.server !== undefined || !isCloudimgError(error) || error.code === 'CANCELLED') throw error
    const { id, hosts } = await chooseCluster(reach.stateHome ?? stateHome(), choice.cluster)
    return { id, nodes: hosts.map(recalled), found: undefined }
  }
}

function recalled({ host, role, name }: RecordedHost): KnownNode {
  return { name, role, address: addressOf(host) }
}
