import type { Context } from '../core/context.ts'
import type { HostAddress } from './address.ts'
import type { Host } from './host.ts'
import { connectLocal } from './local.ts'
import { connectSsh, type SshOptions } from './openssh.ts'
import { hostOver } from './posix-host.ts'

/** The machine at an address, ready to be used as root. */
export async function connectHost(address: HostAddress, options: SshOptions, ctx: Context): Promise<Host> {
  return hostOver(address.local ? await connectLocal(options, ctx, address) : await connectSsh(address, options, ctx))
}
