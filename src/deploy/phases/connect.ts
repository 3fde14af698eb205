import type { Context } from '../../core/context.ts'
import type { Host } from '../../host/host.ts'
import type { SshOptions } from '../../host/openssh.ts'
import type { Ends } from '../ends.ts'
import type { Inventory, InventoryEntry } from '../inventory.ts'
import { onHosts } from '../on-hosts.ts'

export interface Connected extends InventoryEntry {
  readonly host: Host
}

/** Reaches every host before anything else, so that an unreachable one costs nothing. */
export async function connect(
  inventory: Inventory,
  ssh: SshOptions,
  concurrency: number,
  ends: Ends,
  ctx: Context,
): Promise<readonly Connected[]> {
  ctx.events({ kind: 'phase', title: 'Connect' })
  const connected: Connected[] = []
  try {
    await onHosts(
      inventory,
      concurrency,
      ({ address }) => address.name,
      async entry => {
        connected.push({ ...entry, host: await ends.connect(entry.address, ssh, ctx) })
      },
    )
  } catch (error) {
    await disconnect(connected)
    throw error
  }
  return inventory.flatMap(entry => connected.filter(({ address }) => address === entry.address))
}

export async function disconnect(connected: readonly Connected[]): Promise<void> {
  await Promise.allSettled(connected.map(({ host }) => host.close()))
}
