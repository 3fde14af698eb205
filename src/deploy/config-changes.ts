import type { ConfigChange } from '../runtime/runtime.ts'
import type { PlanInput } from './plan.ts'
import type { SituatedNode } from './situation.ts'

type Known = Pick<PlanInput, 'nodes' | 'members' | 'runtime' | 'cluster'>

/**
 * Nodes of the cluster whose configuration is to become another one. What the cluster does not know as a node has never worked
 * with the configuration that it has: it joins with the new one.
 */
export function changeOf(node: SituatedNode, known: Known): ConfigChange | undefined {
  const { members, runtime, cluster } = known
  const isMember = members.length === 0 || members.some(member => member.name === node.name)
  return isMember ? runtime.configChange(node, cluster, serverBefore(node, known.nodes)) : undefined
}

/** Whom the node has joined, or would join; the first server joins nobody. */
export function serverBefore(node: SituatedNode, nodes: Known['nodes']): SituatedNode | undefined {
  return node.host === nodes[0].host ? undefined : nodes[0]
}

/** Who tells whether the node is well: another server where there is one. */
export function serverBeside(node: SituatedNode, nodes: Known['nodes']): SituatedNode {
  return nodes.find(other => other.role === 'server' && other.host !== node.host) ?? nodes[0]
}
