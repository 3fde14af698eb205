import { digestOf, shortDigest } from '../../core/digest.ts'
import { environmentIsGone, shellRunOps } from '../../runtime/shell-run.ts'
import type { DeployStep } from '../../runtime/step.ts'
import { clusterEnvironment, exportLines, valuesOf, variablesOf } from '../environment.ts'
import { type Hook, type HookName, type Hooks, runsOn } from '../hooks/hooks.ts'
import type { Deployment, Phase } from '../plan.ts'
import type { SituatedNode } from '../situation.ts'

const titles = {
  beforeInstall: 'Hooks before the start',
  afterInstall: 'Hooks on nodes that are up',
  afterUp: 'Hooks',
} as const

/** Each hook once on each host for the same words and variables. Where k3s was started already, nothing is before its start. */
export function runHooks(name: keyof typeof titles, hooks: Hooks): Phase {
  return {
    title: titles[name],
    steps: deployment => {
      const { nodes } = deployment
      const due = nodes.filter(node => name !== 'beforeInstall' || node.facts.cloudimg.node === undefined)
      return due.flatMap(node =>
        (hooks[name] ?? [])
          .filter(hook => runsOn(hook, node, nodes[0]) && !isForCluster(name, hook))
          .map(hook => hookStep(name, hook, node, deployment)),
      )
    },
  }
}

/** Once all nodes are up, on one server: whether that was done, the cluster itself remembers, whichever server is asked next. */
export function runClusterHooks(hooks: Hooks): Phase {
  return {
    title: titles.afterUp,
    limit: () => 1,
    steps: ({ nodes, runtime, cluster, env }) => {
      const scripts = (hooks.afterUp ?? []).filter(hook => isForCluster('afterUp', hook))
      const environment = clusterEnvironment(nodes[0], cluster.id, env)
      return runtime.launch(nodes[0], cluster, nodes, { what: 'hooks', scripts, environment })
    },
  }
}

function isForCluster(name: HookName, hook: Hook): boolean {
  return name === 'afterUp' && hook.on === 'first'
}

function hookStep(name: HookName, hook: Hook, node: SituatedNode, { cluster, env }: Deployment): DeployStep {
  const variables = variablesOf(node, cluster.id, env)
  const short = shortDigest(digestOf([name, hook.run, valuesOf(variables)].join('\n')))
  const mark = `/var/lib/cloudimg/hooks/${name}-${short}`
  return {
    id: `hook/${node.host}/${name}-${short}`,
    host: node.host,
    sentence: `run the hook ${name}: ${hook.run.trim().replaceAll('\n', '; ')}`,
    do: shellRunOps({
      name: 'hook',
      directory: node.rootfs.directory,
      scripts: [hook],
      environment: exportLines(variables),
      kubeconfig: '/etc/rancher/k3s/k3s.yaml',
      mark,
    }),
    done: {
      probe: 'all',
      of: [{ probe: 'command', argv: ['test', '-e', mark], expect: 'zero' }, environmentIsGone],
    },
    undo: 'none',
  }
}
