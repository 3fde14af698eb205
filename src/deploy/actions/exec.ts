import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import type { ExecResult } from '../../host/shell.ts'
import { type ClusterChoice, findCluster, findNode, type FoundNode } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import { onHosts } from '../on-hosts.ts'
import type { ReachOptions } from '../options.ts'

export interface ExecOptions extends ReachOptions {
  readonly choice: ClusterChoice
  /** Nodes by name, as their machines are reached, or `servers`, `agents`, `all`. */
  readonly hosts: readonly string[]
  readonly argv: readonly string[]
}

export interface HostOutput extends ExecResult {
  readonly host: string
  readonly name: string
}

/** Runs a command as root on nodes of a cluster, side by side. Any exit code is an answer. What it changes is the user's business. */
export async function execOnHosts(
  options: ExecOptions,
  ctx: Context,
  ends: Ends = realEnds,
): Promise<readonly HostOutput[]> {
  const { choice, hosts, argv, ...reach } = options
  const cluster = await findCluster(choice, reach, ends, ctx)
  const chosen = new Set(
    hosts.flatMap((text): readonly FoundNode[] => {
      if (text === 'all') return cluster.nodes
      if (text === 'servers' || text === 'agents') return cluster.nodes.filter(node => `${node.role}s` === text)
      const node = findNode(cluster.nodes, text)
      if (node !== undefined) return [node]
      const has = cluster.nodes.map(({ name }) => name).join(', ')
      throw new CloudimgError('USAGE', `reading host "${text}": the cluster has ${has}`, {
        hint: 'name a node of it, or servers, agents, all',
      })
    }),
  )
  return await onHosts(
    [...chosen],
    reach.limits?.concurrency ?? 10,
    node => node.name,
    async node => {
      const host = await ends.connect(node.address, reach.ssh ?? {}, ctx)
      try {
        return { host: node.address.name, name: node.name, ...(await host.exec(argv, { check: false }, ctx)) }
      } finally {
        await host.close()
      }
    },
  )
}
