import type { Context } from '../../core/context.ts'
import type { HostAddress } from '../../host/address.ts'
import type { Host } from '../../host/host.ts'
import type { SshOptions } from '../../host/openssh.ts'
import type { Role } from '../../runtime/runtime.ts'
import type { Ends } from '../ends.ts'
import type { Inventory } from '../inventory.ts'
import { onHosts } from '../on-hosts.ts'

export interface Connected {
  readonly address: HostAddress
  readonly role: Role
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
      async ({ address, role }) => {
        connected.push({ address, role, host: await ends.connect(address, ssh, ctx) })
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
