import { join } from 'node:path/posix'
import type { Cluster, ConfigChange, PlannedNode } from '../runtime.ts'
import type { DeployStep } from '../step.ts'
import { printContent } from '../step.ts'
import { hideSecrets, renderConfig } from './config.ts'
import { isUp } from './kube.ts'
import { k3sPaths, unitOf } from './paths.ts'
import { fixedKeys } from './fixed-keys.ts'
import { hasUnit } from './has-unit.ts'
import { readEntries, standingOf } from './standing.ts'
import { command, installer, waitUntil } from './steps.ts'

/** A machine without a k3s unit may still be given any configuration: nothing was made with it. */
export function configChange(
  node: PlannedNode,
  cluster: Cluster,
  via: PlannedNode | undefined,
): ConfigChange | undefined {
  const { config } = node.facts.k3s
  if (config === undefined || node.facts.cloudimg.node === undefined || !hasUnit(node)) return undefined
  const wanted = hideSecrets(printContent(renderConfig(node, cluster, via)))
  // Turning SQLite into etcd is a step of its own, asked for by a flag of its own; nothing else may change with it.
  const converts = standingOf(node)?.datastore === 'sqlite' && cluster.datastore === 'etcd'
  const shall = converts ? wanted.replace(/^cluster-init: true\n/m, '') : wanted
  if (config === shall) return undefined
  const fixed = fixedKeys(node.role, readEntries(config), readEntries(shall))
  const conversion = { key: 'cluster-init', was: 'false', shall: 'true' }
  return { lines: changedLines(config, shall), fixed: converts ? [...fixed, conversion] : fixed }
}

/** What goes as `- line`, what comes as `+ line`, key by key. */
function changedLines(before: string, after: string): readonly string[] {
  const [old, fresh] = [before, after].map(text => text.split('\n').filter(line => line !== ''))
  const gone = old!.filter(line => !fresh!.includes(line)).map(line => `- ${line}`)
  const come = fresh!.filter(line => !old!.includes(line)).map(line => `+ ${line}`)
  const key = (line: string): string => line.slice(2).split(':', 1)[0]!
  return [...gone, ...come].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0))
}

/**
 * Another configuration for a node that runs, with one restart. Until the end of the operation the machine keeps the old one:
 * should the node not come back it has it again at once, and `--undo` gives it back.
 */
export function reconfigureSteps(
  node: PlannedNode,
  cluster: Cluster,
  via: PlannedNode | undefined,
  beside: PlannedNode,
): readonly DeployStep[] {
  const change = configChange(node, cluster, via)
  if (change === undefined) return []
  const content = renderConfig(node, cluster, via)
  const up = isUp(node, cluster, beside)
  const pending = command('test', '!', '-e', join(k3sPaths.state, 'backup/config/pending'))
  const tidy = { op: 'exec', argv: ['rm', '-f', k3sPaths.pendingConfig] } as const
  const back = [installer(node, 'restore-config', [], cluster.timeoutSeconds), tidy]
  return [
    {
      id: `reconfigure/${node.host}`,
      host: node.host,
      lane: node.host,
      sentence: `give node "${node.name}" its new configuration, with one restart of k3s`,
      do: [
        { op: 'file', path: k3sPaths.pendingConfig, mode: 0o600, content, changes: change.lines },
        installer(node, 'reconfigure', ['--config', k3sPaths.pendingConfig], cluster.timeoutSeconds),
        tidy,
        waitUntil(up, `node "${node.name}" is Ready again`, cluster),
      ],
      done: {
        probe: 'all',
        of: [
          { probe: 'content', path: k3sPaths.config, content },
          command('test', '!', '-e', k3sPaths.pendingConfig),
          pending,
          command('systemctl', 'is-active', '--quiet', `${unitOf(node.role)}.service`),
          command('systemctl', 'is-enabled', '--quiet', `${unitOf(node.role)}.service`),
          up,
        ],
      },
      undo: { kind: 'exact', do: back },
      // A node that was Ready a moment ago is so for a while, whatever has become of its k3s: the machine's own word counts too.
      takeBack: { unless: { probe: 'all', of: [pending, up] }, do: back },
    },
  ]
}
