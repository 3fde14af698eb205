import { isIP } from 'node:net'
import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import type { HostAddress } from '../../host/address.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import { readFileIfPresent, statIfPresent, writeFileAtomic } from '../../io/files.ts'
import type { PlannedNode, Runtime } from '../../runtime/runtime.ts'

/** Brings the admin's kubeconfig to the operator, 0600, and returns its path. `~/.kube/config` is nobody's business but the user's. */
export async function fetchKubeconfig(
  server: { readonly node: PlannedNode; readonly address: HostAddress; readonly host: ReadonlyHost },
  runtime: Runtime,
  directory: string,
  ctx: Context,
): Promise<string> {
  ctx.events({ kind: 'phase', title: 'Kubeconfig' })
  // Where we reach the machine by address, so can kubectl; a name may be an alias that only ssh knows.
  const reached = isIP(server.address.host) === 0 ? server.node.address : server.address.host
  const text = await runtime.kubeconfig(server.host, reached, ctx)
  const path = join(directory, 'kubeconfig')
  const [present, stats] = [await readFileIfPresent(path), await statIfPresent(path)]
  if (present?.toString('utf8') !== text || (stats !== undefined && (stats.mode & 0o777) !== 0o600))
    await writeFileAtomic(path, text, 0o600)
  return path
}
