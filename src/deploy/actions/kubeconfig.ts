import { isIP } from 'node:net'
import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { writeFileAtomic } from '../../io/files.ts'
import { type ClusterChoice, findCluster } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import { type ReachOptions, stateHome } from '../options.ts'

export interface KubeconfigOptions extends ReachOptions {
  readonly choice: ClusterChoice
  /** How kubectl shall reach the servers; the server that is asked unless told. */
  readonly endpoint?: string
}

/** Brings the admin's kubeconfig to the operator's directory, 0600. */
export async function bringKubeconfig(
  options: KubeconfigOptions,
  ctx: Context,
  ends: Ends = realEnds,
): Promise<{ readonly cluster: string; readonly path: string; readonly text: string }> {
  const { choice, endpoint, ...reach } = options
  const { id, nodes, runtime } = await findCluster(choice, reach, ends, ctx)
  const [{ address, member }] = nodes
  const host = await ends.connect(address, reach.ssh ?? {}, ctx)
  try {
    const reached = isIP(address.host) === 0 ? member.address : address.host
    const text = await runtime.kubeconfig(host, endpoint ?? reached, ctx)
    const path = join(reach.stateHome ?? stateHome(), id, 'kubeconfig')
    await writeFileAtomic(path, text, 0o600)
    return { cluster: id, path, text }
  } finally {
    await host.close()
  }
}
