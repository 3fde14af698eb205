import { join } from 'node:path/posix'
import type { Cluster, Member, PlannedNode } from '../runtime.ts'
import type { DeployStep, Op, Probe } from '../step.ts'
import { insist, isAway, isUnknown, kubectl } from './kube.ts'
import { k3sPaths, unitOf } from './paths.ts'
import { command, installer } from './steps.ts'

/** How long a deleted node must stay away (DEPLOY.md, "k3s rules: Delete"). */
const awaySeconds = 60
/** What the remaining etcd members are given after one has left. */
const settleSeconds = 15
/** Seen with v1.21.1 where the member that leaves is etcd's leader: the controller that holds the node's finalizer waits for ever. */
const hangs =
  'old releases of k3s may hang while etcd elects a leader: restart k3s on the servers that stay, one after the other (systemctl restart k3s), then run the same command again'

/** A node leaves: its pods first, then the cluster forgets it, then its machine forgets k3s. A server leaves etcd before it stops. */
export function removeSteps(node: PlannedNode, cluster: Cluster, via: PlannedNode): readonly DeployStep[] {
  const steps =
    node.role === 'server'
      ? [drainStep(node, cluster, via), holdStep(node), deleteStep(node, via), stopStep(node)]
      : [drainStep(node, cluster, via), stopStep(node), deleteStep(node, via)]
  return [...steps, uninstallStep(node, cluster, via)].map(step => ({ ...step, lane: node.host }))
}

/** The cluster forgets a node whose machine is gone or is another one now: with it go its etcd member and its password. */
export function forgetSteps(member: Member, via: PlannedNode): readonly DeployStep[] {
  return [{ ...deleteStep({ name: member.name, host: member.name }, via), lane: member.name }]
}

export function drainStep(node: PlannedNode, cluster: Cluster, via: PlannedNode): DeployStep {
  const seconds = Math.min(cluster.timeoutSeconds, 300)
  const flags = ['--ignore-daemonsets', '--delete-emptydir-data', '--force', `--timeout=${seconds}s`]
  return {
    id: `drain/${node.host}`,
    host: via.host,
    sentence: `drain node "${node.name}"`,
    do: [{ op: 'exec', argv: kubectl(['drain', node.name, ...flags], seconds + 30) }],
    done: { probe: 'any', of: [isUnknown(node.name, via), isDrained(node)] },
    undo: { kind: 'compensating', do: [{ op: 'exec', argv: kubectl(['uncordon', node.name]) }] },
  }
}

export function uncordonStep(node: PlannedNode, via: PlannedNode): DeployStep {
  const path = 'jsonpath={.spec.unschedulable}'
  return {
    id: `uncordon/${node.host}`,
    host: via.host,
    sentence: `let pods onto node "${node.name}" again`,
    do: [{ op: 'exec', argv: kubectl(['uncordon', node.name]) }],
    done: { probe: 'command', argv: kubectl(['get', 'node', node.name, '-o', path]), expect: { stdout: '' } },
    undo: { kind: 'exact', do: [] },
  }
}

// $1 node, then kubectl. Cordoned, and nothing left there but what stays on any node.
const drainedScript = `node=$1; shift
[ "$("$@" get node "$node" -o 'jsonpath={.spec.unschedulable}')" = true ] || exit 1
kinds=$("$@" get pods -A --field-selector "spec.nodeName=$node" -o 'jsonpath={range .items[*]}pod {.metadata.ownerReferences[0].kind}{"\\n"}{end}') || exit 1
! printf '%s\\n' "$kinds" | grep -v -x -e 'pod DaemonSet' -e 'pod Node' | grep -q pod`

function isDrained(node: PlannedNode): Probe {
  return command('sh', '-c', drainedScript, 'drained', node.name, ...kubectl([]))
}

// $1 unit. In /run: should the machine be booted before it is uninstalled, the unit is disabled all the same.
const holdScript = `set -e; mkdir -p "/run/systemd/system/$1.service.d"
printf '[Service]\\nRestart=no\\n' > "/run/systemd/system/$1.service.d/cloudimg-remove.conf"
systemctl daemon-reload; systemctl disable "$1.service"`
const releaseScript = `set -e; rm -f "/run/systemd/system/$1.service.d/cloudimg-remove.conf"
rmdir "/run/systemd/system/$1.service.d" 2>/dev/null || true
systemctl daemon-reload; systemctl enable "$1.service"`
const heldScript = `[ ! -e "/etc/systemd/system/$1.service" ] || ! systemctl is-enabled --quiet "$1.service"`

function holdStep(node: PlannedNode): DeployStep {
  const unit = unitOf(node.role)
  return {
    id: `hold/${node.host}`,
    host: node.host,
    sentence: 'keep k3s from starting again here',
    do: [{ op: 'exec', argv: ['sh', '-c', holdScript, 'hold-unit', unit] }],
    done: command('sh', '-c', heldScript, 'unit-held', unit),
    undo: { kind: 'exact', do: [{ op: 'exec', argv: ['sh', '-c', releaseScript, 'release-unit', unit] }] },
  }
}

function deleteStep(node: Pick<PlannedNode, 'name' | 'host'>, via: PlannedNode): DeployStep {
  const argv = kubectl(['delete', 'node', node.name, '--ignore-not-found', '--wait=false'])
  return {
    id: `delete/${node.host}`,
    host: via.host,
    sentence: `delete node "${node.name}" from the cluster`,
    do: [
      insist(argv),
      {
        op: 'wait',
        until: isUnknown(node.name, via),
        what: `the cluster has no node "${node.name}"`,
        timeoutSeconds: 300,
        hint: hangs,
      },
    ],
    done: isUnknown(node.name, via),
    undo: 'none',
  }
}

const stopScript = `systemctl disable "$1.service"; systemctl stop "$1.service"`
const stoppedScript = `! systemctl is-active --quiet "$1.service"`

function stopStep(node: PlannedNode): DeployStep {
  const unit = unitOf(node.role)
  const stop: Op = { op: 'exec', argv: ['sh', '-c', stopScript, 'stop-unit', unit] }
  const start: Op = { op: 'exec', argv: ['sh', '-c', `systemctl enable --now "$1.service"`, 'start-unit', unit] }
  return {
    id: `stop/${node.host}`,
    host: node.host,
    sentence: 'stop k3s',
    do: [stop],
    done: command('sh', '-c', stoppedScript, 'unit-stopped', unit),
    undo: node.role === 'server' ? 'none' : { kind: 'compensating', do: [start] },
  }
}

function uninstallStep(node: PlannedNode, cluster: Cluster, via: PlannedNode): DeployStep {
  const stays = isAway(node.name, via)
  return {
    id: `uninstall/${node.host}`,
    host: node.host,
    sentence: 'uninstall k3s, with all its data on this host',
    do: [
      ...(node.role === 'server' ? [{ op: 'pause', seconds: settleSeconds } as const] : []),
      installer(node, 'remove', [], cluster.timeoutSeconds),
      {
        op: 'wait',
        until: isUnknown(node.name, via),
        what: `the cluster has no node "${node.name}"`,
        timeoutSeconds: 180,
      },
      { op: 'watch', stays, what: `the cluster has no node "${node.name}"`, seconds: awaySeconds },
    ],
    done: { probe: 'all', of: [command('test', '!', '-e', join(k3sPaths.state, 'node')), isUnknown(node.name, via)] },
    undo: 'none',
  }
}
