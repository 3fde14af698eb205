import type { Restoration } from '../../runtime/runtime.ts'
import type { DeployStep } from '../../runtime/step.ts'
import type { Deployment, Phase } from '../plan.ts'
import { goesBack, restorer } from '../restorer.ts'
import type { SituatedNode } from '../situation.ts'

function others(deployment: Deployment, role: SituatedNode['role']): readonly SituatedNode[] {
  const target = restorer(deployment)
  return deployment.nodes.filter(node => node.role === role && node.host !== target.host)
}

function restoration({ datastore, nodes }: Deployment): Restoration {
  const snapshot = datastore?.kind === 'restore' ? datastore.snapshot : undefined
  const back = snapshot === undefined ? [] : nodes.filter(node => goesBack(node, snapshot.version))
  return { snapshot, goBack: new Set(back.map(node => node.name)) }
}

/** While the cluster is still up: sending may take its time. */
export const bringSnapshot: Phase = {
  title: 'Bring the snapshot',
  steps(deployment) {
    const { datastore, runtime } = deployment
    return datastore?.kind === 'restore' ? runtime.bring(restorer(deployment), datastore.snapshot) : []
  },
}

/** Every server, and agents where they would hold on to what they have seen of the future. */
const haltNodes: Phase = {
  title: 'Halt',
  steps: deployment => halted(deployment).flatMap(node => deployment.runtime.halt(node)),
}

function halted({ nodes, datastore }: Deployment): readonly SituatedNode[] {
  return nodes.filter(node => node.role === 'server' || datastore?.kind === 'restore')
}

/** One server's datastore becomes the cluster's. */
const restoreDatastore: Phase = {
  title: 'Restore',
  steps(deployment) {
    const { runtime, cluster } = deployment
    return runtime.restore(restorer(deployment), cluster, restoration(deployment))
  },
}

const reviveServer: Phase = {
  title: 'Start the first server',
  steps(deployment) {
    const { runtime, cluster, nodes, datastore } = deployment
    const target = restorer(deployment)
    const rest = nodes.filter(node => node.host !== target.host)
    return [
      ...runtime.revive(target, cluster, restoration(deployment)),
      ...(datastore?.kind === 'restore' ? runtime.welcome(target, rest) : []),
    ]
  },
}

/** Servers that nobody can reach are forgotten: the cluster would wait for them. */
const forgetLost: Phase = {
  title: 'Forget',
  limit: () => 1,
  steps(deployment) {
    const { datastore, runtime } = deployment
    return (datastore?.lost ?? []).flatMap(name => runtime.forget({ name }, restorer(deployment)))
  },
}

/** One at a time, each a voter before the next one comes. */
const rejoinServers: Phase = {
  title: 'Servers join again',
  limit: () => 1,
  steps: deployment => rejoin(deployment, 'server'),
}

const rejoinAgents: Phase = {
  title: 'Agents follow',
  steps(deployment) {
    const { datastore, runtime, cluster } = deployment
    const target = restorer(deployment)
    const redirected = others(deployment, 'agent').flatMap(node => runtime.redirect(node, cluster, target))
    return datastore?.kind === 'restore' ? [...redirected, ...rejoin(deployment, 'agent')] : redirected
  },
}

function rejoin(deployment: Deployment, role: SituatedNode['role']): readonly DeployStep[] {
  const { runtime, cluster } = deployment
  const target = restorer(deployment)
  return others(deployment, role).flatMap(node => runtime.rejoin(node, cluster, target, restoration(deployment)))
}

const conclude: Phase = {
  title: 'Conclude',
  steps: deployment => deployment.runtime.conclude(restorer(deployment)),
}

const tidyHosts: Phase = {
  title: 'Tidy',
  steps: deployment => halted(deployment).flatMap(node => deployment.runtime.tidy(node)),
}

/** How a cluster goes on with other data than its servers have. */
export const goOnWithOther: readonly Phase[] = [
  haltNodes,
  restoreDatastore,
  reviveServer,
  forgetLost,
  rejoinServers,
  rejoinAgents,
  conclude,
  tidyHosts,
]
