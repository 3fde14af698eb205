import { CloudimgError } from '../core/error.ts'
import type { PlanInput } from './plan.ts'
import type { SituatedNode } from './situation.ts'
import { minorOf } from './version.ts'

/** The server that the snapshot goes to, or whose data count: the same one whenever the action is begun again. */
export function restorer({ datastore, nodes }: Pick<PlanInput, 'datastore' | 'nodes'>): SituatedNode {
  const servers = nodes.filter(node => node.role === 'server').toSorted((a, b) => (a.name < b.name ? -1 : 1))
  if (datastore?.kind === 'recover') {
    const named = servers.find(node => node.host === datastore.server)
    if (named === undefined)
      throw new CloudimgError('BUG', `recovering with "${datastore.server}": it is none of the servers`)
    return named
  }
  if (datastore === undefined) throw new CloudimgError('BUG', 'restoring: nobody told what')
  // One that still runs the snapshot's minor version has the program to open it.
  const { node, snapshot } = datastore
  const able = servers.filter(({ facts }) => minorOf(facts.k3s.version ?? '') === minorOf(snapshot.version))
  const candidates = able.length > 0 ? able : servers
  return candidates.find(server => server.name === node) ?? candidates[0] ?? nodes[0]
}

/** Data of a newer minor version are not for an older one, so nodes go back with them (facts/k3s.md §7.5). */
export function goesBack({ facts }: SituatedNode, version: string): boolean {
  return facts.k3s.version !== undefined && minorOf(facts.k3s.version) > minorOf(version)
}
