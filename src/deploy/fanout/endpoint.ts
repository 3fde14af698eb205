import { randomBytes, randomInt } from 'node:crypto'
import { isIPv6 } from 'node:net'
import type { Context } from '../../core/context.ts'
import { type Digest, hexOf } from '../../core/digest.ts'
import type { Host } from '../../host/host.ts'
import type { HttpServer } from '../../host/facts.ts'

/** A host as others fetch from it. */
export interface Endpoint {
  /** Ends in a path that nobody can guess: whoever knows it may read. */
  readonly url: string
}

export interface EndpointWish {
  /** The host's own, in the cluster: nowhere else it listens. */
  readonly address: string
  readonly server: HttpServer
}

/** Nobody serves longer than this, whatever became of the operator. */
const lifetimeSeconds = 1800

export const fanoutDirectory = '/var/lib/cloudimg/fanout'
const unit = 'cloudimg-fanout'

// Above the ports that Linux gives to outgoing connections, and above node ports.
const [firstPort, lastPort] = [61_000, 65_535]

/** One file after the other, no listing, no writing; whatever is not a plain file below the directory is not there. */
const pythonServer = `
import http.server, os, socket, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args): super().__init__(*args, directory=sys.argv[3])
    def list_directory(self, path): self.send_error(404)
    def log_message(self, *args): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
`

// stdin: the path. $1 unit, $2 directory, $3 port, $4 lifetime; then the server's command. It runs as root without any of root's
// rights, in a view of the machine that has programs and this directory, nothing else, and is gone with all it served when it ends.
const openScript = `set -e; umask 077; unit=$1 dir=$2 port=$3 life=$4; shift 4
IFS= read -r path
systemctl stop "$unit.service" 2>/dev/null || :
systemctl reset-failed "$unit.service" 2>/dev/null || :
rm -rf -- "$dir"; mkdir -p "$dir/$path"
fail() { journalctl -u "$unit" -n 3 --no-pager -o cat >&2 2>/dev/null || :; systemctl reset-failed "$unit.service" 2>/dev/null || :; rm -rf -- "$dir"; exit 1; }
systemd-run --quiet --unit="$unit" --property=RuntimeMaxSec="$life" --property="ExecStopPost=+/bin/rm -rf -- $dir" \\
  --property=CapabilityBoundingSet= --property=NoNewPrivileges=yes --property=PrivateDevices=yes --property=TasksMax=64 \\
  --property='RestrictAddressFamilies=AF_INET AF_INET6' --property=TemporaryFileSystem=/:ro \\
  --property="BindReadOnlyPaths=/usr -/bin -/sbin -/lib -/lib64 -/etc/ld.so.cache $dir:/srv" -- "$@" || fail
at=$(printf ':%04X ' "$port") n=0
until cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "$at.* 0A "; do
  systemctl is-active --quiet "$unit.service" && [ $n -lt 50 ] || fail
  n=$((n + 1)); sleep 0.1 2>/dev/null || sleep 1
done`

/** Begins to serve, nothing yet. What an earlier operation may have left is ended. @throws COMMAND_FAILED where it cannot be. */
export async function openEndpoint(host: Host, wish: EndpointWish, ctx: Context): Promise<Endpoint> {
  const port = randomInt(firstPort, lastPort)
  const path = randomBytes(16).toString('hex')
  const at = isIPv6(wish.address) ? `[${wish.address}]` : wish.address
  const argv = serverArgv(wish, at, port)
  const script = ['sh', '-c', openScript, 'fanout-open', unit, fanoutDirectory, String(port), String(lifetimeSeconds)]
  await host.exec([...script, ...argv], { input: `${path}\n`, secrets: [path] }, ctx)
  return { url: `http://${at}:${port}/${path}` }
}

function serverArgv({ address, server }: EndpointWish, at: string, port: number): readonly string[] {
  if (server === 'busybox') return ['busybox', 'httpd', '-f', '-p', `${at}:${port}`, '-h', '/srv']
  return ['python3', '-I', '-c', pythonServer, address, String(port), '/srv']
}

// $1 directory, $2 file, $3 name. A second name costs no space, and no path leads out of the directory.
const shareScript = 'set -e; for at in "$1"/*/; do ln -f -- "$2" "$at$3" 2>/dev/null || cp -- "$2" "$at$3"; done'

/** The file is served from now on, under its digest. */
export async function share(host: Host, path: string, digest: Digest, ctx: Context): Promise<void> {
  await host.exec(['sh', '-c', shareScript, 'fanout-share', fanoutDirectory, path, hexOf(digest)], {}, ctx)
}

const closeScript = `systemctl stop "$1.service" 2>/dev/null; systemctl reset-failed "$1.service" 2>/dev/null
rm -rf -- "$2"; rm -f -- /var/lib/cloudimg/rootfs/*.pack; exit 0`

/** Nothing listens any more, and nothing is left of what was served. */
export async function closeEndpoint(host: Host, ctx: Context): Promise<void> {
  await host.exec(['sh', '-c', closeScript, 'fanout-close', unit, fanoutDirectory], {}, ctx)
}
