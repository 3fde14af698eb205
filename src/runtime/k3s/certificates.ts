import { X509Certificate } from 'node:crypto'
import type { Context } from '../../core/context.ts'
import { expectZero } from '../../host/posix-host.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import type { Certificate } from '../runtime.ts'

// Authorities last ten years and are not renewed by a restart: they are another story (facts/k3s.md §7.6).
const script = `for file in /var/lib/rancher/k3s/server/tls/*.crt /var/lib/rancher/k3s/server/tls/etcd/*.crt /var/lib/rancher/k3s/agent/*.crt; do
  case $file in *-ca.crt | *-ca.nochain.crt) continue ;; esac
  [ -f "$file" ] && echo "file $file" && cat "$file"
done; exit 0`

/** The node's own certificates, in the order of their paths; the first one of each file, which is the leaf. */
export async function readCertificates(host: ReadonlyHost, ctx: Context): Promise<readonly Certificate[]> {
  const argv = ['sh', '-c', script, 'certificates']
  const { stdout } = expectZero(host.name, argv, await host.look(argv, ctx))
  return stdout
    .split(/^file /m)
    .slice(1)
    .flatMap(part => {
      const [path = ''] = part.split('\n', 1)
      const pem = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(part)?.[0]
      return pem === undefined ? [] : [{ path, endsAt: new Date(new X509Certificate(pem).validTo).getTime() }]
    })
}
