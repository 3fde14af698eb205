import { createHash } from 'node:crypto'
import type { Applications } from '../core/application.ts'
import {
  type ClusterMetadata,
  type CollectedImage,
  parseClusterMetadata,
  type RuntimeName,
} from '../core/cluster-metadata.ts'
import type { Context } from '../core/context.ts'
import { type Digest, hexOf } from '../core/digest.ts'
import { formatPlatform, type Platform } from '../core/platform.ts'
import { installerPath } from './cluster-layer.ts'
import type { LaidTemplate } from './lay-template.ts'
import type { Store } from '../oci/store/store.ts'
import type { BuildTree } from './tree.ts'
import { readContent, readTreeSample, readTreeText } from './tree-content.ts'

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

/** Metadata is read whole, and by people: of more files than this none is listed. */
const maxListed = 2000

/** Whether a file is a program, a script or a template: `prove` notices where one is gone. */
export function isListedPath(path: string): boolean {
  return /^(?:bin|cri|etc|scripts)\/|\.(?:sh|tmpl)$/.test(path) && !isArtifactPath(path) && path !== installerPath
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
  /** sha256 of the files that `isArtifactPath` or `isListedPath` names, from the layers. */
  readonly files: ReadonlyMap<string, Digest>
  readonly standIn: boolean
  readonly unsealed: readonly string[]
  readonly runtimeImages: readonly string[]
  readonly collected: readonly CollectedImage[]
  /** What the cluster image says of itself that this one begins with. */
  readonly inherited: ClusterMetadata | undefined
  readonly applications: Applications
  /** KUBEVERSION's range. */
  readonly kubeVersion: string | undefined
}

/** The Metadata that a base image brings, if it is a cluster image. */
export async function inheritedMetadata(
  store: Store,
  tree: BuildTree,
  ctx: Context,
): Promise<ClusterMetadata | undefined> {
  const file = tree.get('Metadata')
  if (file?.type !== 'file' || file.content.from !== 'tar') return undefined
  return parseClusterMetadata(await readTreeText(store, file, ctx))
}

/** sha256 of such files that lie in a base image: no layer was made that would have told. */
export async function inheritedDigests(
  store: Store,
  tree: BuildTree,
  ctx: Context,
): Promise<ReadonlyMap<string, Digest>> {
  const digests = new Map<string, Digest>()
  for (const file of tree.files()) {
    if (file.content.from !== 'tar' || !(isArtifactPath(file.path) || isListedPath(file.path))) continue
    const hash = createHash('sha256')
    for await (const part of readContent(store, file, { offset: 0, length: file.size }, ctx)) hash.update(part)
    digests.set(file.path, `sha256:${hash.digest('hex')}`)
  }
  return digests
}

export function describeCluster(parts: MetadataParts): ClusterMetadata {
  const { runtime, tree, templates, files, inherited, applications, kubeVersion } = parts
  const own = templates.findLast(template => template.runtime === runtime)
  const version = own === undefined ? inherited?.version : own.version
  const unsealed = [...(inherited?.unsealed ?? []), ...parts.unsealed]
  const names = new Map(
    [inherited ?? { artifacts: [] }, ...templates].flatMap(({ artifacts }) =>
      artifacts.map(artifact => [artifact.path, artifact.name] as const),
    ),
  )
  const present = [...files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([path, digest]) => {
      const entry = tree.get(path)
      return entry?.type === 'file' ? [{ path, sha256: hexOf(digest), size: entry.size }] : []
    })
  const listed = present.filter(({ path }) => isListedPath(path))
  const artifacts = present
    .filter(({ path }) => isArtifactPath(path))
    .map(file => ({ name: names.get(file.path) ?? file.path.slice(file.path.lastIndexOf('/') + 1), ...file }))
  return {
    apiVersion: 'cloudimg.io/v1',
    kind: 'ClusterImage',
    runtime,
    ...(version === undefined ? {} : { version }),
    platform: formatPlatform(parts.platform),
    sealed: unsealed.length === 0,
    unsealed,
    artifacts,
    ...(listed.length > maxListed ? {} : { files: listed }),
    features: [
      ...new Set([
        ...(own === undefined ? (inherited?.features ?? []) : []),
        ...templates.flatMap(template => template.features),
      ]),
    ].sort(),
    ...(parts.standIn ? { standIn: true } : {}),
    components: Object.assign({}, inherited?.components, ...templates.map(template => template.components)) as Record<
      string,
      string
    >,
    images: [...new Set(parts.runtimeImages)].sort(),
    collected: withFormerAskers(parts.collected, inherited?.collected ?? []),
    ...(applications.applications.length === 0 ? {} : { applications: applications.applications }),
    ...(applications.launch === undefined ? {} : { launch: applications.launch }),
    ...(kubeVersion === undefined ? {} : { kubeVersion }),
  }
}

/** What asked for an image in a base may be gone from the tree by now. */
function withFormerAskers(now: readonly CollectedImage[], before: readonly CollectedImage[]): CollectedImage[] {
  const former = new Map(before.map(image => [image.name, image.askedBy]))
  return now.map(image => (image.askedBy.length > 0 ? image : { ...image, askedBy: former.get(image.name) ?? [] }))
}
