import { join } from 'node:path/posix'
import type { Cluster, PlannedNode, Restoration } from '../runtime.ts'
import type { SnapshotState } from '../snapshot-bundle.ts'
import type { Content, DeployStep, Op, Probe } from '../step.ts'
import { isUp, k3sCommand } from './kube.ts'
import { ownConfigAt } from './own-config.ts'
import { k3sPaths, unitOf } from './paths.ts'
import { bringUp, command, installer, waitUntil } from './steps.ts'

/** What a restoration has on a host while it is under way. */
export const restoring = {
  /** Beside what cloudimg keeps: the snapshot, and the receipt that the operator fetches. */
  directory: '/var/lib/cloudimg/restore',
  receipt: '/var/lib/cloudimg/restore/receipt',
  log: '/var/lib/cloudimg/restore/k3s.log',
  /** The datastore as it was, on the same disk: moving it there and back costs nothing. */
  aside: `${k3sPaths.database}.before`,
} as const

/** True once the whole restoration is done: what the steps go by on the hosts is taken away then. */
export const concluded: Probe = { probe: 'kept', name: 'restored' }

export function bringSteps(server: PlannedNode, snapshot: SnapshotState): readonly DeployStep[] {
  const { digest, size } = snapshot
  const path = broughtPath(snapshot)
  return [
    {
      id: `bring/${server.host}`,
      host: server.host,
      sentence: 'bring the snapshot to the server that will restore it',
      do: [{ op: 'upload', path, mode: 0o600, digest, size }],
      done: { probe: 'any', of: [concluded, { probe: 'files', files: [{ path, digest }] }] },
      undo: { kind: 'exact', do: [{ op: 'exec', argv: ['rm', '-f', path] }] },
    },
  ]
}

function broughtPath({ isZip }: SnapshotState): string {
  return join(restoring.directory, isZip ? 'datastore.zip' : 'datastore')
}

/** What makes up a datastore below `db`; the snapshots that k3s keeps there stay. */
const parts = 'etcd state.db state.db-wal state.db-shm'

// $1 db, $2 where it is kept, $3 `once` or `again`. Once `complete` is there, what lies in db is no original: `again` removes what a
// run that was cut off began; `once` leaves it, as it may be a member of the new cluster by then.
const asideScript = `set -e; umask 077; db=$1 aside=$2
[ "$3" = again ] || [ ! -e "$aside/complete" ] || exit 0
systemctl stop k3s.service
mkdir -p "$aside" "$db"
[ -e "$aside/config.yaml" ] || cp -p ${k3sPaths.config} "$aside/config.yaml"
for part in ${parts}; do
  if [ -e "$aside/complete" ]; then rm -rf "$db/$part"; elif [ -e "$db/$part" ]; then mv "$db/$part" "$aside/$part"; fi
done
sync; : > "$aside/complete"`

// $1 db, $2 aside, $3 where the config waits for the installer. The mark goes first: without it, what lies in db stays.
const backScript = `set -e; umask 077; db=$1 aside=$2 config=$3
systemctl stop k3s.service
mkdir -p "$(dirname "$config")"
if [ -e "$aside/config.yaml" ]; then cp "$aside/config.yaml" "$config"; else cp ${k3sPaths.config} "$config"; fi
if [ -e "$aside/complete" ]; then for part in ${parts}; do rm -rf "$db/$part"; done; sync; rm -f "$aside/complete" "$aside/restored"; fi
for part in ${parts}; do if [ -e "$aside/$part" ]; then rm -rf "$db/$part"; mv "$aside/$part" "$db/$part"; fi; done`

// $1 db, $2 aside, $3 log, $4 `keep` for the data that are there, then k3s. Its log goes to a file: nobody may be there to read it.
// The flag would keep it from a second reset in a row, which is what a run that was cut off needs (facts/k3s.md §7.5).
const resetScript = `set -e; umask 077; db=$1 aside=$2 log=$3 with=$4; shift 4
rm -f "$db/reset-flag"
[ "$with" != keep ] || cp -a "$aside/etcd" "$db/etcd"
"$@" >"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
sync; : > "$aside/restored"`

// $1 db, $2 aside, $3 the snapshot.
const unpackScript = `set -e; umask 077; tar -C "$(dirname "$1")" -xf "$3"; sync; : > "$2/restored"`

const resetSeconds = 600

/** The server's datastore becomes the snapshot's, or one that has this server as its only member (facts/k3s.md §7.5). */
export function restoreSteps(
  server: PlannedNode,
  cluster: Cluster,
  { snapshot, goBack }: Restoration,
): readonly DeployStep[] {
  const content = founderConfig(server, cluster)
  const directories = [k3sPaths.database, restoring.aside]
  return [
    {
      id: `restore/${server.host}`,
      host: server.host,
      sentence:
        snapshot === undefined
          ? 'make this server the only member of etcd, with the data that it has; a copy is kept aside'
          : 'put the snapshot in the place of the datastore; what was there is kept aside',
      do: [
        { op: 'exec', argv: ['sh', '-c', asideScript, 'set-aside', ...directories, 'again'] },
        ...configure(server, content, cluster.timeoutSeconds),
        snapshot?.datastore === 'sqlite'
          ? { op: 'exec', argv: ['sh', '-c', unpackScript, 'unpack-datastore', ...directories, broughtPath(snapshot)] }
          : resetOp(snapshot, goBack.has(server.name)),
      ],
      done: {
        probe: 'any',
        of: [
          concluded,
          {
            probe: 'all',
            of: [
              { probe: 'content', path: k3sPaths.config, content },
              command('test', '!', '-e', k3sPaths.pendingConfig),
              command('test', '-e', join(restoring.aside, 'restored')),
            ],
          },
        ],
      },
      undo: { kind: 'exact', do: backOps(server, cluster) },
    },
  ]
}

/** The program of the older version, where the server is to go back to it: data that a newer one has opened may be lost to it. */
function resetOp(snapshot: SnapshotState | undefined, goesBack: boolean): Op {
  const from = snapshot === undefined ? [] : [`--cluster-reset-restore-path=${broughtPath(snapshot)}`]
  const [program, ...rest] = k3sCommand(['server', '--cluster-reset', ...from], resetSeconds)
  const argv = [program!, ...rest].map(word =>
    goesBack && word === k3sPaths.program ? join(k3sPaths.state, 'previous/bin/k3s') : word,
  )
  const words = [k3sPaths.database, restoring.aside, restoring.log, snapshot === undefined ? 'keep' : 'snapshot']
  return { op: 'exec', argv: ['sh', '-c', resetScript, 'reset-datastore', ...words, ...argv] }
}

function backOps(server: PlannedNode, { timeoutSeconds }: Cluster): readonly Op[] {
  const words = [k3sPaths.database, restoring.aside, k3sPaths.pendingConfig]
  return [
    { op: 'exec', argv: ['sh', '-c', backScript, 'put-back', ...words] },
    installer(server, 'configure', ['--config', k3sPaths.pendingConfig], timeoutSeconds),
    { op: 'exec', argv: ['rm', '-rf', k3sPaths.pendingConfig, restoring.aside] },
  ]
}

function configure(node: PlannedNode, content: Content, timeoutSeconds: number): readonly Op[] {
  return [
    { op: 'file', path: k3sPaths.pendingConfig, mode: 0o600, content },
    installer(node, 'configure', ['--config', k3sPaths.pendingConfig], timeoutSeconds),
    { op: 'exec', argv: ['rm', '-f', k3sPaths.pendingConfig] },
  ]
}

/** A server that joins nobody: k3s resets no other one. */
function founderConfig(server: PlannedNode, cluster: Cluster): Content {
  return ownConfigAt(server, cluster.datastore === 'etcd' ? 'cluster-init: true' : '')
}

/** Who writes into the restored datastore from here on is not asked to forget it again: there is no way back but another snapshot. */
export function reviveSteps(server: PlannedNode, cluster: Cluster, restoration: Restoration): readonly DeployStep[] {
  const content = founderConfig(server, cluster)
  const own = clusterFor(server, cluster, restoration)
  const sentence = `start node "${server.name}", alone at first`
  const step = restoration.goBack.has(server.name)
    ? goBackStep(server, cluster, server, restoration, content)
    : bringUp(server, own, { verb: 'init', sentence, content })
  const up = isUp(server, own, server)
  return [
    {
      ...step,
      id: `revive/${server.host}`,
      do: [enable(server), ...step.do, waitUntil(up, `node "${server.name}" is Ready`, cluster)],
      done: { probe: 'any', of: [concluded, { probe: 'all', of: [step.done, up] }] },
    },
  ]
}

/** Before the installer looks: a unit that is not enabled would be made anew. */
export function enable({ role }: PlannedNode): Op {
  return { op: 'exec', argv: ['systemctl', 'enable', `${unitOf(role)}.service`] }
}

/** As the node sees it: those that go back run the snapshot's version in the end, the others what they have. */
export function clusterFor(node: PlannedNode, cluster: Cluster, { snapshot, goBack }: Restoration): Cluster {
  return { ...cluster, version: goBack.has(node.name) ? snapshot?.version : node.facts.k3s.version }
}

/** The node runs what it ran before it was upgraded, with the place in the cluster that it has now. */
export function goBackStep(
  node: PlannedNode,
  cluster: Cluster,
  via: PlannedNode,
  restoration: Restoration,
  content: Content,
): DeployStep {
  const up = isUp(node, clusterFor(node, cluster, restoration), via)
  return {
    id: `go-back/${node.host}`,
    host: node.host,
    sentence: `switch node "${node.name}" back to k3s ${restoration.snapshot?.version}, and start it`,
    do: [
      enable(node),
      { op: 'file', path: k3sPaths.pendingConfig, mode: 0o600, content },
      installer(node, 'rollback', ['--config', k3sPaths.pendingConfig], cluster.timeoutSeconds),
      { op: 'exec', argv: ['rm', '-f', k3sPaths.pendingConfig] },
      waitUntil(up, `node "${node.name}" is Ready at the snapshot's version`, cluster),
    ],
    done: {
      probe: 'all',
      of: [
        { probe: 'content', path: k3sPaths.config, content },
        command('test', '!', '-e', k3sPaths.pendingConfig),
        command('test', '!', '-e', join(k3sPaths.state, 'switching')),
        command('systemctl', 'is-active', '--quiet', `${unitOf(node.role)}.service`),
        up,
      ],
    },
    undo: 'none',
  }
}

/** On a server that rejoins: what it had would belong to a cluster that is no more. */
export function setAside(): Op {
  return { op: 'exec', argv: ['sh', '-c', asideScript, 'set-aside', k3sPaths.database, restoring.aside, 'once'] }
}
