import { join } from 'node:path/posix'
import type { Cluster, PlannedNode, Restoration } from '../runtime.ts'
import type { DeployStep } from '../step.ts'
import { apiUrl } from './config.ts'
import { insist, isUp, kubectl } from './kube.ts'
import { ownConfigAt } from './own-config.ts'
import { unitOf } from './paths.ts'
import { clusterFor, concluded, enable, goBackStep, restoring, setAside } from './restore.ts'
import { bringUp, command, waitUntil } from './steps.ts'

// $1 unit, $2 directory, $3 where a datastore is kept aside, $4 node. What an operation that was given up has kept is not ours.
const haltScript = `set -e; umask 077; mkdir -p "$2"
if [ -e "$3" ]; then rm -rf "$3.older"; mv "$3" "$3.older"; fi
printf '%s\\n' "$4" > "$2/receipt"
systemctl disable "$1.service"; systemctl stop "$1.service"`

// $1 unit. Not waited for: servers that were halted together need each other to come up.
const startAgainScript = `set -e; systemctl enable "$1.service"; systemctl start --no-block "$1.service"`

/** Done once the operator has its receipt: a server that was started by a later step stays as it is when the work is resumed. */
export function haltSteps(node: PlannedNode): readonly DeployStep[] {
  const unit = unitOf(node.role)
  const name = `halted/${node.name}`
  const words = [unit, restoring.directory, restoring.aside, node.name]
  return [
    {
      id: `halt/${node.host}`,
      host: node.host,
      sentence: 'stop k3s, and keep it from starting at a boot; pods go on',
      do: [
        { op: 'exec', argv: ['sh', '-c', haltScript, 'halt-node', ...words] },
        { op: 'fetch', path: restoring.receipt, name },
      ],
      done: { probe: 'any', of: [concluded, { probe: 'kept', name }] },
      undo: {
        kind: 'compensating',
        do: [
          { op: 'exec', argv: ['rm', '-rf', restoring.directory] },
          { op: 'exec', argv: ['sh', '-c', startAgainScript, 'start-again', unit] },
        ],
      },
    },
  ]
}

/** k3s knows nodes by a password; one that was imaged anew since has another one, and would be turned away (facts/k3s.md §7.2). */
export function welcomeSteps(server: PlannedNode, others: readonly PlannedNode[]): readonly DeployStep[] {
  if (others.length === 0) return []
  const name = 'welcomed'
  const secrets = others.map(node => `${node.name}.node-password.k3s`)
  const flags = ['-n', 'kube-system', '--ignore-not-found']
  return [
    {
      id: `welcome/${server.host}`,
      host: server.host,
      sentence: 'let the other nodes introduce themselves anew',
      do: [
        insist(kubectl(['delete', 'secret', ...secrets, ...flags], 60)),
        { op: 'fetch', path: restoring.receipt, name },
      ],
      done: { probe: 'any', of: [concluded, { probe: 'kept', name }] },
      undo: 'none',
    },
  ]
}

export function rejoinSteps(
  node: PlannedNode,
  cluster: Cluster,
  via: PlannedNode,
  restoration: Restoration,
): readonly DeployStep[] {
  return [
    node.role === 'server'
      ? rejoinServer(node, cluster, via, restoration)
      : rejoinAgent(node, cluster, via, restoration),
  ]
}

function rejoinServer(node: PlannedNode, cluster: Cluster, via: PlannedNode, restoration: Restoration): DeployStep {
  const content = ownConfigAt(node, `server: ${JSON.stringify(apiUrl(via.address))}`)
  const sentence = `set the datastore of node "${node.name}" aside, and let it join the server at ${via.address}`
  const step = restoration.goBack.has(node.name)
    ? goBackStep(node, cluster, via, restoration, content)
    : bringUp(node, clusterFor(node, cluster, restoration), { verb: 'join', sentence, via, content })
  const emptied = command('test', '-e', join(restoring.aside, 'complete'))
  return {
    ...step,
    id: `rejoin/${node.host}`,
    sentence,
    do: [setAside(), enable(node), ...step.do],
    done: { probe: 'any', of: [concluded, { probe: 'all', of: [emptied, step.done] }] },
  }
}

function rejoinAgent(node: PlannedNode, cluster: Cluster, via: PlannedNode, restoration: Restoration): DeployStep {
  const unit = unitOf(node.role)
  const up = isUp(node, clusterFor(node, cluster, restoration), via)
  const is = (what: string) => command('systemctl', what, '--quiet', `${unit}.service`)
  const step: DeployStep = restoration.goBack.has(node.name)
    ? goBackStep(node, cluster, via, restoration, ownConfigAt(node, placeOf(node)))
    : {
        id: '',
        host: node.host,
        sentence: `start node "${node.name}"`,
        do: [
          { op: 'exec', argv: ['sh', '-c', startAgainScript, 'start-again', unit] },
          waitUntil(up, `node "${node.name}" is Ready`, cluster),
        ],
        done: { probe: 'all', of: [is('is-active'), is('is-enabled'), up] },
        undo: 'none',
      }
  return { ...step, id: `rejoin/${node.host}`, done: { probe: 'any', of: [concluded, step.done] } }
}

/** As it stands in the node's config. */
function placeOf({ facts }: PlannedNode): string {
  return /^server:.*$/m.exec(facts.k3s.config ?? '')?.[0] ?? ''
}

export function concludeSteps(server: PlannedNode): readonly DeployStep[] {
  return [
    {
      id: `conclude/${server.host}`,
      host: server.host,
      sentence: 'note that the cluster is back: what was kept aside may go',
      do: [{ op: 'fetch', path: restoring.receipt, name: 'restored' }],
      done: concluded,
      undo: 'none',
    },
  ]
}

export function tidySteps(node: PlannedNode): readonly DeployStep[] {
  const paths = [restoring.directory, restoring.aside, `${restoring.aside}.older`]
  return [
    {
      id: `tidy/${node.host}`,
      host: node.host,
      sentence: 'remove the snapshot and the datastore that was kept aside',
      do: [{ op: 'exec', argv: ['rm', '-rf', ...paths] }],
      done: { probe: 'all', of: paths.map(path => command('test', '!', '-e', path)) },
      undo: 'none',
    },
  ]
}
