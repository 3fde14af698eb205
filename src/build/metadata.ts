import type { ClusterMetadata, RuntimeName } from '../core/cluster-metadata.ts'
import type { Context } from '../core/context.ts'
import { type Digest, hexOf } from '../core/digest.ts'
import { formatPlatform, type Platform } from '../core/platform.ts'
import type { LaidTemplate } from './lay-template.ts'
import type { Store } from '../oci/store/store.ts'
import type { BuildTree } from './tree.ts'
import { readTreeSample } from './tree-content.ts'

/** The files that make a tree a cluster image, and of which runtime (DESIGN.md, "The Kubefile"). */
const runtimeBinaries: readonly (readonly [path: string, runtime: RuntimeName])[] = [
  ['bin/k3s', 'k3s'],
  ['bin/k0s', 'k0s'],
  ['bin/kubeadm', 'kubernetes'],
]

/** Undefined for an ordinary image. */
export function detectRuntime(tree: BuildTree, templates: readonly LaidTemplate[]): RuntimeName | undefined {
  const named = templates.findLast(template => template.runtime !== undefined)?.runtime
  return named ?? runtimeBinaries.find(([path]) => tree.get(path)?.type === 'file')?.[1]
}

/** Whether a file's own sha256 belongs into Metadata: runtime binaries, image archives, upstream's installers. */
export function isArtifactPath(path: string): boolean {
  return /^(?:bin\/(?:k3s|k0s|kubeadm)|images\/[^/]+|scripts\/[^/]+-install\.sh)$/.test(path)
}

/** Whether the runtime's program is the k3s of the tests: a script that says so in its first lines. */
export async function isStandIn(store: Store, tree: BuildTree, ctx: Context): Promise<boolean> {
  const binary = tree.get('bin/k3s')
  if (binary?.type !== 'file') return false
  const head = (await readTreeSample(store, binary, { offset: 0, length: 512 }, ctx)).toString('latin1')
  return head.startsWith('#!') && head.includes('stand-in')
}

export interface MetadataParts {
  readonly runtime: RuntimeName
  readonly platform: Platform
  readonly tree: BuildTree
  readonly templates: readonly LaidTemplate[]
  /** sha256 of the files that `isArtifactPath` names, from the layers. */
  readonly files: ReadonlyMap<string, Digest>
  readonly standIn: boolean
  readonly unsealed: readonly string[]
  readonly images: readonly string[]
}

export function describeCluster(parts: MetadataParts): ClusterMetadata {
  const { runtime, tree, templates, files, unsealed } = parts
  const version = templates.findLast(template => template.runtime === runtime)?.version
  const names = new Map(
    templates.flatMap(template => template.artifacts.map(artifact => [artifact.path, artifact.name] as const)),
  )
  const artifacts = [...files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([path, digest]) => {
      const entry = tree.get(path)
      if (entry?.type !== 'file') return []
      return [
        {
          name: names.get(path) ?? path.slice(path.lastIndexOf('/') + 1),
          path,
          sha256: hexOf(digest),
          size: entry.size,
        },
      ]
    })
  return {
    apiVersion: 'cloudimg.io/v1',
    kind: 'ClusterImage',
    runtime,
    ...(version === undefined ? {} : { version }),
    platform: formatPlatform(parts.platform),
    sealed: unsealed.length === 0,
    unsealed: [...unsealed],
    artifacts,
    features: [...new Set(templates.flatMap(template => template.features))].sort(),
    ...(parts.standIn ? { standIn: true } : {}),
    components: Object.assign({}, ...templates.map(template => template.components)) as Record<string, string>,
    images: [...new Set(parts.images)].sort(),
  }
}
