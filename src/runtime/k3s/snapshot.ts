import { CloudimgError } from '../../core/error.ts'
import type { Context } from '../../core/context.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import { expectZero } from '../../host/posix-host.ts'
import type { Cluster, PlannedNode, ServerSnapshot } from '../runtime.ts'
import { snapshotParts } from '../snapshot-bundle.ts'
import type { DeployStep, Op } from '../step.ts'
import { isUp, k3sCommand } from './kube.ts'
import { k3sPaths } from './paths.ts'
import { command, waitUntil } from './steps.ts'

/** Where a snapshot waits for the operator; uninstalling k3s would take its own directory away. */
const directory = '/var/lib/cloudimg/snapshot'

// $1 directory, $2 cluster, $3 datastore, $4 node. None of them, nor the version, has a quote in it.
const aboutScript = `about() {
  version=$(${k3sPaths.program} --version | awk 'NR == 1 { print $3 }')
  printf '{"v":1,"cluster":"%s","datastore":"%s","version":"%s","node":"%s","takenAt":%s}\\n' \\
    "$2" "$3" "$version" "$4" "$(date +%s)" > "$1/about.json"
}`

// $1-$4 as above, $5 name, then k3s. k3s adds node and time to the name, and versions before 1.21.3 choose the name themselves. v1.21.1
// and older know no `save`: the bare command saves (seen).
const saveScript = `set -e; umask 077
${aboutScript}
to=$1; rm -rf "$to"; mkdir -p "$to"; : > "$to/before"; about "$@"; name=$5; shift 5
"$@" etcd-snapshot save --name "$name" >&2 || "$@" etcd-snapshot --name "$name" >&2
newest=$(find ${k3sPaths.database}/snapshots -type f -newer "$to/before" -exec ls -t {} + | head -n 1)
[ -n "$newest" ] || { echo 'k3s says that it took a snapshot, but there is none' >&2; exit 1; }
cp "$newest" "$to/datastore"; cp ${k3sPaths.token} "$to/token"`

// $1-$4 as above. Whatever happens to the copy, k3s starts again: a shell that is ended by a signal forgets its EXIT trap.
const copyScript = `set -e; umask 077
${aboutScript}
to=$1; rm -rf "$to"; mkdir -p "$to"; about "$@"
trap 'exit 1' HUP INT TERM PIPE
trap 'systemctl start --no-block k3s.service' EXIT
systemctl stop k3s.service
tar -C ${k3sPaths.server} -cf "$to/datastore" db; cp ${k3sPaths.token} "$to/token"`

/** The state of the whole cluster, with the token that opens it, brought to the operator. SQLite costs a stop of the server. */
export function snapshotSteps(server: PlannedNode, cluster: Cluster, name: string): readonly DeployStep[] {
  if (cluster.datastore === 'external') return []
  const names = snapshotParts.map(file => `${name}/${file}`)
  const about = [directory, cluster.id, cluster.datastore, server.name]
  const take: readonly Op[] =
    cluster.datastore === 'etcd'
      ? [{ op: 'exec', argv: ['sh', '-c', saveScript, 'save-snapshot', ...about, name, ...k3sCommand([], 300)] }]
      : [
          { op: 'exec', argv: ['sh', '-c', copyScript, 'copy-datastore', ...about] },
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

// Size, seconds since 1970 and name, a line each.
const listScript = `for file in ${k3sPaths.database}/snapshots/*; do [ ! -f "$file" ] || stat -c '%s %Y %n' "$file"; done`

/** Those that k3s keeps on a server, its own scheduled ones as a rule: they go with the server (facts/k3s.md §7.5). */
export async function readServerSnapshots(server: ReadonlyHost, ctx: Context): Promise<readonly ServerSnapshot[]> {
  const argv = ['sh', '-c', listScript, 'server-snapshots']
  const { stdout } = expectZero(server.name, argv, await server.look(argv, ctx))
  return stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => parseListed(line, server.name))
}

function parseListed(line: string, host: string): ServerSnapshot {
  const [, size, seconds, path] = /^(\d+) (\d+) (.+)$/.exec(line) ?? []
  if (path === undefined) throw new CloudimgError('COMMAND_FAILED', `listing snapshots on "${host}": it says "${line}"`)
  return { name: path.slice(path.lastIndexOf('/') + 1), size: Number(size), takenAt: Number(seconds) * 1000 }
}
