import { CloudimgError } from '../core/error.ts'
import { type HostAddress, parseHostAddress, thisMachine } from '../host/address.ts'
import type { Role } from '../runtime/runtime.ts'

export interface InventoryEntry {
  readonly address: HostAddress
  readonly role: Role
  /** It is to leave the cluster. */
  readonly leaves?: boolean
}

/** Servers first; order is the user's. */
export type Inventory = readonly InventoryEntry[]

/**
 * Which machines become what; none named means this machine, as a server.
 * @throws USAGE for a host named twice or agents without a server.
 */
export function parseInventory(servers: readonly string[], agents: readonly string[]): Inventory {
  if (servers.length === 0 && agents.length === 0) return [{ address: thisMachine, role: 'server' }]
  if (servers.length === 0)
    throw new CloudimgError('USAGE', 'planning a cluster: agents but no server', {
      hint: 'name the server with --servers HOST',
    })
  return parseEntries(servers, agents)
}

/** @throws USAGE for a host named twice. */
export function parseEntries(servers: readonly string[], agents: readonly string[]): Inventory {
  const entries = [...servers.map(text => entry(text, 'server')), ...agents.map(text => entry(text, 'agent'))]
  refuseDuplicates(entries)
  return entries
}

function entry(text: string, role: Role): InventoryEntry {
  return { address: parseHostAddress(text), role }
}

function refuseDuplicates(entries: readonly InventoryEntry[]): void {
  const seen = new Map<string, Role>()
  for (const { address, role } of entries) {
    const key = `${address.host.toLowerCase()} ${address.port ?? 22}`
    const before = seen.get(key)
    if (before !== undefined) {
      const how = before === role ? `twice as ${role}` : `as ${before} and as ${role}`
      throw new CloudimgError('USAGE', `planning a cluster: host "${address.name}" is named ${how}`, {
        hint: 'name every host once; a server runs workloads too',
      })
    }
    seen.set(key, role)
  }
}
