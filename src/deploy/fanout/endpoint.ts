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
  /** It ends by itself after that; half an hour unless told. */
  readonly lifetimeSeconds?: number
}

/** Nobody serves longer than this, whatever became of the operator. */
const longestSeconds = 1800

const directory = '/run/cloudimg-fanout'
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
// rights, in a view of the machine that has programs and rootfs, nothing else. Its directory is in memory, and systemd's to remove.
const openScript = `set -e; umask 077; unit=$1 dir=$2 port=$3 life=$4; shift 4
IFS= read -r path
systemctl stop "$unit.service" 2>/dev/null || :
fail() { journalctl -u "$unit" -n 3 --no-pager -o cat >&2 2>/dev/null || :; systemctl stop "$unit.service" 2>/dev/null || :; exit 1; }
systemd-run --quiet --collect --unit="$unit" --property=RuntimeMaxSec="$life" \\
  --property=RuntimeDirectory="\${dir##*/}" --property=RuntimeDirectoryMode=0700 \\
  --property=CapabilityBoundingSet= --property=NoNewPrivileges=yes --property=PrivateDevices=yes --property=TasksMax=64 \\
  --property='RestrictAddressFamilies=AF_INET AF_INET6' --property=TemporaryFileSystem=/:ro \\
  --property="BindReadOnlyPaths=/usr -/bin -/sbin -/lib -/lib64 -/etc/ld.so.cache /var/lib/cloudimg/rootfs $dir:/srv" -- "$@" || fail
at=$(printf ':%04X ' "$port") n=0
until cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "$at.* 0A "; do
  systemctl is-active --quiet "$unit.service" && [ $n -lt 50 ] || fail
  n=$((n + 1)); sleep 0.1 2>/dev/null || sleep 1
done
mkdir "$dir/$path"`

/** Begins to serve, nothing yet. What an earlier operation may have left is ended. @throws COMMAND_FAILED where it cannot be. */
export async function openEndpoint(host: Host, wish: EndpointWish, ctx: Context): Promise<Endpoint> {
  const port = randomInt(firstPort, lastPort)
  const path = randomBytes(16).toString('hex')
  const { lifetimeSeconds = longestSeconds } = wish
  const at = isIPv6(wish.address) ? `[${wish.address}]` : wish.address
  const argv = serverArgv(wish, at, port)
  const script = ['sh', '-c', openScript, 'fanout-open', unit, directory, String(port), String(lifetimeSeconds)]
  await host.exec([...script, ...argv], { input: `${path}\n`, secrets: [path] }, ctx)
  return { url: `http://${at}:${port}/${path}` }
}

function serverArgv({ address, server }: EndpointWish, at: string, port: number): readonly string[] {
  if (server === 'busybox') return ['busybox', 'httpd', '-f', '-p', `${at}:${port}`, '-h', '/srv']
  return ['python3', '-I', '-c', pythonServer, address, String(port), '/srv']
}

// $1 directory, $2 file, $3 name. A link leads nowhere but to what the server can see.
const shareScript = 'for at in "$1"/*/; do ln -s -f -- "$2" "$at$3" || exit 1; done'

/** The file is served from now on, under its digest. */
export async function share(host: Host, path: string, digest: Digest, ctx: Context): Promise<void> {
  await host.exec(['sh', '-c', shareScript, 'fanout-share', directory, path, hexOf(digest)], {}, ctx)
}

const closeScript =
  'systemctl stop "$1.service" 2>/dev/null; rm -rf -- "$2"; rm -f -- /var/lib/cloudimg/rootfs/*.pack; exit 0'

/** Nothing listens any more, and nothing is left of what was served. */
export async function closeEndpoint(host: Host, ctx: Context): Promise<void> {
  await host.exec(['sh', '-c', closeScript, 'fanout-close', unit, directory], {}, ctx)
}
