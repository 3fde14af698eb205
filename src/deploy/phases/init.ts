import type { Deployment, Phase } from '../plan.ts'
import { CloudimgError } from '../../core/error.ts'
import type { SituatedNode } from '../situation.ts'

/** The first server comes up alone; everyone else joins it. */
export const initCluster: Phase = {
  title: 'Init',
  steps: deployment => deployment.runtime.init(firstServer(deployment), deployment.cluster),
}

export function firstServer({ nodes }: Pick<Deployment, 'nodes'>): SituatedNode {
  const server = nodes.find(node => node.role === 'server')
  if (server === undefined) throw new CloudimgError('BUG', 'planning a cluster: it has no server')
  return server
}
