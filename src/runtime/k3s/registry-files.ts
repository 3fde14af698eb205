import type { Cluster, PlannedNode } from '../runtime.ts'
import { type Content, hole, type Op, type Probe } from '../step.ts'
import { renderRegistries } from './registries.ts'
import { registryPaths } from './registry-paths.ts'

interface RegistryFile {
  readonly path: string
  readonly content: Content
}

/** What every node is given beside its registries.yaml, 0600: whom it trusts and, with registries of our own, what it shows. */
function nodeFiles({ registry }: Cluster): readonly RegistryFile[] {
  const { authority, clientCertificate, clientKey } = registryPaths
  if (registry.mode === 'url') return registry.hasAuthority ? [{ path: authority, content: [hole('registry-ca')] }] : []
  if (registry.mode !== 'managed') return []
  return [
    { path: authority, content: [hole('registry-ca')] },
    { path: clientCertificate, content: [hole('registry-client-certificate')] },
    { path: clientKey, content: [hole('registry-client-key')] },
  ]
}

/** How a node comes to ask registries: what is written before the installer is called, how it is called, and what is then so. */
export interface RegistryParts {
  readonly before: readonly Op[]
  readonly flags: readonly string[]
  readonly after: readonly Op[]
  readonly done: readonly Probe[]
}

export function registryParts(node: PlannedNode, cluster: Cluster): RegistryParts {
  const content = renderRegistries(node, cluster)
  if (content === undefined) return { before: [], flags: [], after: [], done: [] }
  const { pending, registries } = registryPaths
  const files = nodeFiles(cluster)
  return {
    before: [...files.map(secretFile), secretFile({ path: pending, content })],
    flags: ['--registries', pending],
    after: [{ op: 'exec', argv: ['rm', '-f', pending] }],
    done: [
      ...files.map(isWritten),
      isWritten({ path: registries, content }),
      { probe: 'command', argv: ['test', '!', '-e', pending], expect: 'zero' },
    ],
  }
}

export function secretFile({ path, content }: RegistryFile): Op {
  return { op: 'file', path, mode: 0o600, content }
}

export function isWritten({ path, content }: RegistryFile): Probe {
  return { probe: 'content', path, content }
}
