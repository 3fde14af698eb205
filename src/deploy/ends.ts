import { randomBytes } from 'node:crypto'
import type { Context } from '../core/context.ts'
import type { HostAddress } from '../host/address.ts'
import { connectHost } from '../host/connect.ts'
import type { Host } from '../host/host.ts'
import type { SshOptions } from '../host/openssh.ts'
import { openRepository, type RegistryEntry } from './registry/open-registry.ts'
import type { Repository } from './registry/registry-end.ts'
import { type Pace, realClock } from './waiting.ts'

/** Where a deployment touches the world; tests give other ends. */
export interface Ends extends Pace {
  connect(address: HostAddress, options: SshOptions, ctx: Context): Promise<Host>
  openRepository(entry: RegistryEntry): Repository
  /** The name of a new operation: sorts by time, and is unique. */
  newOp(): string
}

export const realEnds: Ends = {
  connect: connectHost,
  openRepository,
  ...realClock,
  newOp: () => `${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}-${randomBytes(3).toString('hex')}`,
  pollMs: 2000,
  settling: 1,
}
