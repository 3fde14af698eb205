import type { Cluster, PlannedNode } from '../runtime.ts'
import type { DeployStep, Op } from '../step.ts'
import { isUp, k3sCommand } from './kube.ts'
import { command, waitUntil } from './steps.ts'

/** Where a snapshot waits for the operator; uninstalling k3s would take its own directory away. */
const directory = '/var/lib/cloudimg/snapshot'

// $1 directory, $2 name, then k3s. k3s adds node and time to the name, and versions before 1.21.3 choose the name themselves.
const saveScript = `set -e; umask 077; to=$1 name=$2; shift 2; rm -rf "$to"; mkdir -p "$to"; : > "$to/before"
"$@" etcd-snapshot save --name "$name" >&2
newest=$(find /var/lib/rancher/k3s/server/db/snapshots -type f -newer "$to/before" -exec ls -t {} + | head -n 1)
[ -n "$newest" ] || { echo 'k3s says that it took a snapshot, but there is none' >&2; exit 1; }
cp "$newest" "$to/datastore"; cp /var/lib/rancher/k3s/server/token "$to/token"`

// $1 directory. Whatever happens to the copy, k3s starts again.
const copyScript = `set -e; umask 077; to=$1; rm -rf "$to"; mkdir -p "$to"
systemctl stop k3s.service; trap 'systemctl start --no-block k3s.service' EXIT
tar -C /var/lib/rancher/k3s/server -cf "$to/datastore" db; cp /var/lib/rancher/k3s/server/token "$to/token"`

/** The state of the whole cluster, with the token that opens it, brought to the operator. SQLite costs a stop of the server. */
export function snapshotSteps(server: PlannedNode, cluster: Cluster, name: string): readonly DeployStep[] {
  if (cluster.datastore === 'external') return []
  const names = ['datastore', 'token'].map(file => `${name}/${file}`)
  const take: readonly Op[] =
    cluster.datastore === 'etcd'
      ? [{ op: 'exec', argv: ['sh', '-c', saveScript, 'save-snapshot', directory, name, ...k3sCommand([], 300)] }]
      : [
          { op: 'exec', argv: ['sh', '-c', copyScript, 'copy-datastore', directory] },
          waitUntil(
            isUp(server, { ...cluster, version: undefined }, server),
            `node "${server.name}" is Ready again`,
            cluster,
          ),
        ]
  const outage = cluster.datastore === 'sqlite' ? ', for which k3s stops and starts again' : ''
  return [
    {
      id: `snapshot/${server.host}`,
      host: server.host,
      sentence: `take a snapshot of the datastore and bring it to the operator${outage}`,
      do: [
        ...take,
        ...names.map((file): Op => ({ op: 'fetch', path: `${directory}/${file.slice(name.length + 1)}`, name: file })),
        { op: 'exec', argv: ['rm', '-rf', directory] },
      ],
      done: {
        probe: 'all',
        of: [...names.map(file => ({ probe: 'kept', name: file }) as const), command('test', '!', '-e', directory)],
      },
      undo: { kind: 'exact', do: [{ op: 'exec', argv: ['rm', '-rf', directory] }] },
    },
  ]
}
