import type { Application, Launch } from '../core/application.ts'
import { parseApplications } from '../core/application.ts'
import type { ClusterMetadata, CollectedImage } from '../core/cluster-metadata.ts'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { formatPlatform } from '../core/platform.ts'
import type { PlatformImage } from '../oci/document.ts'
import type { BlobReader } from '../oci/ends.ts'
import { layoutDirectory } from '../workload/image-layout.ts'
import { ImageTree } from './image-tree.ts'
import { kubefileLines, linesOfLayers } from './kubefile-lines.ts'

export interface ExplainedLayer {
  readonly digest: Digest
  /** Bytes of the blob. */
  readonly size: number
  readonly mediaType: string
  /** The instruction as written. */
  readonly createdBy: string
  /** Of the Kubefile in the image; absent for a base image's layers and those that cloudimg adds by itself. */
  readonly line?: number
  /** How many entries of the finished tree come from it. */
  readonly files: number
}

export interface ExplainedArtifact {
  readonly name: string
  readonly path: string
  readonly version?: string
  readonly size: number
  readonly sha256: string
  readonly line?: number
}

/** What one platform's image has inside, and why. */
export interface Explanation {
  readonly platform: string
  readonly digest: Digest
  readonly runtime?: ClusterMetadata['runtime']
  readonly version?: string
  readonly sealed?: boolean
  readonly unsealed: readonly string[]
  readonly layers: readonly ExplainedLayer[]
  readonly artifacts: readonly ExplainedArtifact[]
  readonly components: Readonly<Record<string, string>>
  /** In the runtime's own archive, by their names. */
  readonly runtimeImages: readonly string[]
  readonly images: readonly CollectedImage[]
  readonly applications: readonly Application[]
  readonly launch?: Launch
  readonly totals: {
    /** What a registry has of it: config and layers. */
    readonly imageBytes: number
    readonly files: number
    readonly fileBytes: number
    readonly containerImages: number
    /** Blobs that several container images share are counted once. */
    readonly containerImageBytes: number
  }
}

export async function explainImage(source: BlobReader, image: PlatformImage, ctx: Context): Promise<Explanation> {
  const tree = await ImageTree.open(source, image, ctx)
  const { metadata } = tree
  const layers = explainLayers(tree)
  const { applications, launch } = metadata ?? parseApplications(image.manifest.annotations)
  return {
    platform: formatPlatform(image.platform),
    digest: image.descriptor.digest,
    ...(metadata === undefined ? {} : { runtime: metadata.runtime, sealed: metadata.sealed }),
    ...(metadata?.version === undefined ? {} : { version: metadata.version }),
    unsealed: metadata?.unsealed ?? [],
    layers,
    artifacts: explainArtifacts(tree, layers),
    components: metadata?.components ?? {},
    runtimeImages: metadata?.images ?? [],
    images: metadata?.collected ?? [],
    applications: applications ?? [],
    ...(launch === undefined ? {} : { launch }),
    totals: totalsOf(tree),
  }
}

function explainLayers({ image, nodes, kubefile }: ImageTree): readonly ExplainedLayer[] {
  const history = (image.config.history ?? []).filter(({ empty_layer: isEmpty }) => isEmpty !== true)
  const madeBy = image.manifest.layers.map((_, index) => history[index]?.created_by ?? '')
  const lines = linesOfLayers(kubefileLines(kubefile ?? ''), madeBy)
  const counts = new Map<number, number>()
  for (const { layer } of nodes.values()) counts.set(layer, (counts.get(layer) ?? 0) + 1)
  return image.manifest.layers.map(({ digest, size, mediaType }, index) => {
    const [createdBy, line] = [madeBy[index]!, lines[index]]
    return {
      digest,
      size,
      mediaType,
      createdBy,
      ...(line === undefined ? {} : { line }),
      files: counts.get(index) ?? 0,
    }
  })
}

function explainArtifacts(
  { metadata, nodes }: ImageTree,
  layers: readonly ExplainedLayer[],
): readonly ExplainedArtifact[] {
  return (metadata?.artifacts ?? []).map(({ name, path, size, sha256 }) => {
    const node = nodes.get(path)
    const line = node === undefined ? undefined : layers[node.layer]?.line
    const version = metadata?.version
    return {
      name,
      path,
      ...(version === undefined ? {} : { version }),
      size,
      sha256,
      ...(line === undefined ? {} : { line }),
    }
  })
}

function totalsOf({ image, nodes, metadata }: ImageTree): Explanation['totals'] {
  const { config, layers } = image.manifest
  const files = [...nodes].flatMap(([path, node]) => (node.type === 'file' ? [{ path, size: node.size }] : []))
  const blobs = files.filter(({ path }) => path.startsWith(`${layoutDirectory}/blobs/`))
  return {
    imageBytes: sum([config, ...layers]),
    files: files.length,
    fileBytes: sum(files),
    containerImages: (metadata?.images.length ?? 0) + (metadata?.collected?.length ?? 0),
    containerImageBytes: sum(blobs),
  }
}

function sum(items: readonly { readonly size: number }[]): number {
  return items.reduce((total, { size }) => total + size, 0)
}
