import { quoteArgv } from '../../host/quote.ts'
import type { Content, DeployStep } from '../../runtime/step.ts'
import { exportLines, variablesOf } from '../environment.ts'
import type { Deployment, Phase } from '../plan.ts'
import type { SituatedNode } from '../situation.ts'
import { type Hook, type Hooks, runsOn } from './hooks.ts'

/** What commands run that see no Clusterfile: it lies on the host until then, variables included. */
export type KeptHook = 'beforeUpgrade' | 'beforeReset'
const kept: readonly KeptHook[] = ['beforeUpgrade', 'beforeReset']

const directory = '/var/lib/cloudimg/hooks'

function fileOf(name: KeptHook): string {
  return `${directory}/${name}.sh`
}

/** Every host is given what it is to run when it is upgraded and when it leaves; what is declared no more is taken away. */
export function keepHooks(hooks: Hooks): Phase {
  return {
    title: 'Keep hooks',
    steps: deployment =>
      deployment.nodes.flatMap(node =>
        kept.flatMap(name => {
          const own = (hooks[name] ?? []).filter(hook => runsOn(hook, node, deployment.nodes[0]))
          if (own.length > 0) return [keepStep(name, own, node, deployment)]
          return node.facts.cloudimg.hooks.includes(name) ? [dropStep(name, node)] : []
        }),
      ),
  }
}

function keepStep(name: KeptHook, hooks: readonly Hook[], node: SituatedNode, deployment: Deployment): DeployStep {
  const path = fileOf(name)
  const content: Content = [
    'set -e\n',
    ...exportLines(variablesOf(node, deployment.cluster.id, deployment.env)),
    ...hooks.map(
      ({ run, timeoutSeconds }) => `timeout ${timeoutSeconds} ${quoteArgv(['sh', '-e', '-c', run])} </dev/null\n`,
    ),
  ]
  return {
    id: `keep-hook/${node.host}/${name}`,
    host: node.host,
    sentence: `keep the hook ${name} for when it is due`,
    do: [{ op: 'file', path, mode: 0o600, content }],
    done: { probe: 'content', path, content },
    undo: { kind: 'compensating', do: [{ op: 'exec', argv: ['rm', '-f', path] }] },
  }
}

function dropStep(name: KeptHook, node: SituatedNode): DeployStep {
  const path = fileOf(name)
  return {
    id: `drop-hook/${node.host}/${name}`,
    host: node.host,
    sentence: `forget the hook ${name}`,
    do: [{ op: 'exec', argv: ['rm', '-f', path] }],
    done: { probe: 'command', argv: ['test', '!', '-e', path], expect: 'zero' },
    undo: 'none',
  }
}

// $1 directory, $2 script, $3 what tells that it ran: a file to make, or `-` for the script to be gone.
const keptScript = `set -e; cd "$1"; export PATH="$1/bin:/usr/local/bin:$PATH" KUBECONFIG=/etc/rancher/k3s/k3s.yaml HOME=/root
sh -e "$2"
if [ "$3" = - ]; then rm -f "$2"; else : > "$3"; sync "$3" 2>/dev/null || sync; fi`

/** Nothing where the host keeps none. Before an upgrade once for each image, before it leaves once. */
export function keptHookSteps(name: KeptHook, node: SituatedNode): readonly DeployStep[] {
  if (!node.facts.cloudimg.hooks.includes(name)) return []
  const path = fileOf(name)
  const mark = name === 'beforeReset' ? '-' : `${directory}/${name}-${node.rootfs.digest.slice(7, 19)}`
  return [
    {
      id: `hook/${node.host}/${name}`,
      host: node.host,
      lane: node.host,
      sentence: `run the hook ${name} that the host keeps`,
      do: [{ op: 'exec', argv: ['sh', '-c', keptScript, 'kept-hook', node.rootfs.directory, path, mark] }],
      done: {
        probe: 'command',
        argv: mark === '-' ? ['test', '!', '-e', path] : ['test', '-e', mark],
        expect: 'zero',
      },
      undo: 'none',
    },
  ]
}
