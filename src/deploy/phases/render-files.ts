import { join } from 'node:path/posix'
import type { NodeTemplate } from '../../runtime/runtime.ts'
import type { Content, DeployStep } from '../../runtime/step.ts'
import { type Variable, variablesOf } from '../environment.ts'
import type { Deployment, Phase } from '../plan.ts'
import type { SituatedNode } from '../situation.ts'
import { parseTemplate } from '../template.ts'

/** Memory only, root only: what is rendered may be for few eyes. */
const pending = '/run/cloudimg-deploy/rendered'

/** The templates below `etc` of the rootfs, each host's own, to the same place below its `/etc`. */
export const renderFiles: Phase = {
  title: 'Render',
  steps: deployment => deployment.nodes.flatMap(node => stepsFor(node, deployment)),
}

/** `etc/chrony.conf.tmpl` of the rootfs is `/etc/chrony.conf` of the host. */
export function targetOf({ path }: NodeTemplate): string {
  return `/${path.replace(/\.tmpl$/, '')}`
}

function stepsFor(node: SituatedNode, { cluster, env }: Deployment): readonly DeployStep[] {
  const { directory, templates = [] } = node.rootfs
  const variables = templates.length === 0 ? new Map<string, Variable>() : variablesOf(node, cluster.id, env)
  const { timeoutSeconds } = cluster
  return templates.map(template => {
    const [target, content] = [targetOf(template), render(template, variables)]
    const tidy = { op: 'exec', argv: ['rm', '-f', pending] } as const
    const call = (verb: string, ...args: readonly string[]) =>
      ({ op: 'installer', verb, rootfs: directory, args: [...args, '--to', target], timeoutSeconds }) as const
    return {
      id: `render/${node.host}/${template.path}`,
      host: node.host,
      sentence: `render ${template.path} to ${target}`,
      do: [
        { op: 'file', path: pending, mode: 0o600, content },
        call('render', '--file', pending, '--mode', template.mode.toString(8).padStart(3, '0')),
        tidy,
      ],
      done: {
        probe: 'all',
        of: [
          { probe: 'content', path: target, content },
          { probe: 'command', argv: ['test', '!', '-e', pending], expect: 'zero' },
          { probe: 'command', argv: ['grep', '-q', target, join('/var/lib/cloudimg', 'owned')], expect: 'zero' },
        ],
      },
      undo: { kind: 'exact', do: [call('unrender'), tidy] },
    }
  })
}

/** What the judge of templates has found whole. */
function render({ text }: NodeTemplate, variables: ReadonlyMap<string, Variable>): Content {
  return parseTemplate(text).pieces.map(piece =>
    typeof piece === 'string' ? piece : (variables.get(piece.variable)?.text ?? ''),
  )
}
