import { chmodSync, readFileSync } from 'node:fs'
import { parse, stringify } from 'yaml'
import type { KeyPair } from './certificate.ts'
import { writeWhole } from './files.ts'
import { Fatal } from './log.ts'
import { apiPort, kubeconfigFile } from './paths.ts'
import type { Trust } from './tls-client.ts'

/** As k3s writes it: this server by its loopback address, mode 0600. (facts/k3s-observed.md 19) */
export function writeKubeconfig(ca: string, admin: KeyPair, mode: string | undefined): void {
  const encode = (pem: string): string => Buffer.from(pem).toString('base64')
  const config = {
    apiVersion: 'v1',
    clusters: [
      {
        cluster: { 'certificate-authority-data': encode(ca), server: `https://127.0.0.1:${apiPort}` },
        name: 'default',
      },
    ],
    contexts: [{ context: { cluster: 'default', user: 'default' }, name: 'default' }],
    'current-context': 'default',
    kind: 'Config',
    preferences: {},
    users: [
      {
        name: 'default',
        user: { 'client-certificate-data': encode(admin.certificate), 'client-key-data': encode(admin.key) },
      },
    ],
  }
  const permissions = Number.parseInt(mode ?? '600', 8)
  if (Number.isNaN(permissions)) throw new Fatal(`strconv.ParseInt: parsing "${mode}": invalid syntax`)
  writeWhole(kubeconfigFile, stringify(config, { lineWidth: 0 }), permissions, 0o755)
  chmodSync(kubeconfigFile, permissions)
}

export interface Access {
  readonly server: string
  readonly trust: Trust
}

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: Readonly<Record<string, string>> }[]
  readonly users: readonly { readonly user: Readonly<Record<string, string>> }[]
}

export function readKubeconfig(path: string): Access {
  const config = parse(readFileSync(path, 'utf8')) as Kubeconfig
  const cluster = config.clusters[0]?.cluster ?? {}
  const user = config.users[0]?.user ?? {}
  const decode = (text: string | undefined): string => Buffer.from(text ?? '', 'base64').toString()
  return {
    server: cluster['server'] ?? '',
    trust: {
      ca: decode(cluster['certificate-authority-data']),
      certificate: decode(user['client-certificate-data']),
      key: decode(user['client-key-data']),
    },
  }
}
