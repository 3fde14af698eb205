import { isIP } from 'node:net'
import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { readFileIfPresent, statIfPresent, writeFileAtomic } from '../../io/files.ts'
import type { Prepared } from '../prepare.ts'
import { hostNamed } from '../probe.ts'

/** Brings the admin's kubeconfig to the operator, 0600, and returns its path. `~/.kube/config` is nobody's business but the user's. */
export async function fetchKubeconfig(prepared: Prepared, ctx: Context): Promise<string> {
  ctx.events({ kind: 'phase', title: 'Kubeconfig' })
  const { nodes, connected, hosts, runtime, request, directory } = prepared
  const [server] = nodes
  const { host } = connected.find(({ address }) => address.name === server.host)!.address
  // Where we reach the machine by address, so can kubectl; a name may be an alias that only ssh knows.
  const reached = isIP(host) === 0 ? server.address : host
  const text = await runtime.kubeconfig(hostNamed(hosts, server.host), request.cluster?.endpoint ?? reached, ctx)
  const path = join(directory, 'kubeconfig')
  const [present, stats] = [await readFileIfPresent(path), await statIfPresent(path)]
  if (present?.toString('utf8') !== text || (stats !== undefined && (stats.mode & 0o777) !== 0o600))
    await writeFileAtomic(path, text, 0o600)
  return path
}
