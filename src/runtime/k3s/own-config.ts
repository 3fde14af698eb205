import type { PlannedNode } from '../runtime.ts'
import { type Content, hole } from '../step.ts'

/**
 * The very config that a node has, but for its place in the cluster, which comes first as in a rendered one: whatever the user
 * once asked for stays. `place`: a line, or nothing for a server that keeps its state in SQLite.
 */
export function ownConfigAt({ facts, role }: PlannedNode, place: string): Content {
  const lines = (facts.k3s.config ?? '').split(/(?<=\n)/)
  const others = lines.filter(line => !/^(?:server|cluster-init):/.test(line))
  const comments = others.findIndex(line => !line.startsWith('#'))
  const at = comments < 0 ? others.length : comments
  const parts = [...others.slice(0, at), ...(place === '' ? [] : [`${place}\n`]), ...others.slice(at)]
  return parts.flatMap(line => withHoles(line, role))
}

/** Facts hide secrets; the config has holes for them. What agents call their token is the agent-token of servers. */
export function withHoles(line: string, role: PlannedNode['role']): Content {
  const [, key] = /^([a-z-]+):/.exec(line) ?? []
  if (!line.endsWith(': (hidden)\n') || key === undefined) return [line]
  return [`${key}: "`, hole(role === 'agent' ? 'agent-token' : key), '"\n']
}
