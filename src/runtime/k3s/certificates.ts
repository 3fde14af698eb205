import type { Context } from '../../core/context.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import { expectZero } from '../../host/posix-host.ts'
import { parseCertificates } from '../certificates.ts'
import type { Certificate } from '../runtime.ts'

const script = `for file in /var/lib/rancher/k3s/server/tls/*.crt /var/lib/rancher/k3s/server/tls/etcd/*.crt /var/lib/rancher/k3s/agent/*.crt; do
  case $file in *-ca.nochain.crt) continue ;; esac
  [ -f "$file" ] && echo "file $file" && cat "$file"
done; exit 0`

/** Prints the certificates of a node, as `parseCertificates` reads them. */
export const certificatesLook: readonly string[] = ['sh', '-c', script, 'certificates']

/** In the order of their paths, authorities included. */
export async function readCertificates(host: ReadonlyHost, ctx: Context): Promise<readonly Certificate[]> {
  const { stdout } = expectZero(host.name, certificatesLook, await host.look(certificatesLook, ctx))
  return parseCertificates(stdout)
}
