import type { Cluster, PlannedNode } from '../runtime.ts'
import { type Content, type DeployStep, hole } from '../step.ts'
import { isWritten, secretFile } from './registry-files.ts'
import { managedHost } from './registries.ts'
import { registryPaths, registryPort } from './registry-paths.ts'
import { command, installer, isNew } from './steps.ts'

/** The program of the registry in a rootfs: a static `registry` of the distribution project, put there by a COPY. */
const registryProgram = 'bin/registry'

const list = 'images/oci/images.txt'

/** A read-only registry on a server, filled with the images of its rootfs by links, before k3s asks it. */
export function serveSteps(node: PlannedNode, cluster: Cluster): readonly DeployStep[] {
  if (cluster.registry.mode !== 'managed' || node.role !== 'server') return []
  const { seed, authority, serverCertificate, serverKey, config, applied, unit } = registryPaths
  const files = [
    { path: seed, content: [hole('registry-seed'), '\n'] },
    { path: authority, content: [hole('registry-ca')] },
    { path: serverCertificate, content: [hole(`registry-certificate/${node.address}`)] },
    { path: serverKey, content: [hole(`registry-key/${node.address}`)] },
    { path: config, content: registryConfig(node) },
  ]
  const digests = [registryProgram, list].flatMap(path => node.rootfs.files.get(path)?.digest ?? [])
  return [
    {
      id: `registry/${node.host}`,
      host: node.host,
      sentence: `serve the images of the bundle at ${managedHost(node.address)}, to nodes of this cluster`,
      do: [
        ...files.map(secretFile),
        installer(node, 'registry', ['--port', String(registryPort)], cluster.timeoutSeconds),
      ],
      done: {
        probe: 'all',
        of: [
          ...files.map(isWritten),
          ...digests.map(digest => command('grep', '-q', digest.slice('sha256:'.length), applied)),
          command('systemctl', 'is-active', '--quiet', unit),
          command('systemctl', 'is-enabled', '--quiet', unit),
        ],
      },
      undo: isNew(node)
        ? { kind: 'exact', do: [installer(node, 'reset', [], cluster.timeoutSeconds)] }
        : // What it serves beside what is asked for hurts nobody.
          { kind: 'compensating', do: [] },
    },
  ]
}

/** Only who shows a certificate of the cluster is answered: the random credential that each node has in a file, 0600. */
function registryConfig({ address }: PlannedNode): Content {
  const { data, serverCertificate, serverKey, authority } = registryPaths
  const settings = {
    version: 0.1,
    log: { level: 'warn', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: data },
      maintenance: { readonly: { enabled: true }, uploadpurging: { enabled: false } },
    },
    http: {
      addr: managedHost(address),
      tls: { certificate: serverCertificate, key: serverKey, clientcas: [authority] },
    },
  }
  return [`# Written by cloudimg.\n${JSON.stringify(settings, undefined, 2)}\n`]
}

export function hasRegistryProgram(node: PlannedNode): boolean {
  return node.rootfs.files.has(registryProgram)
}

export function hasServedImages(node: PlannedNode): boolean {
  return node.rootfs.files.has(list)
}
