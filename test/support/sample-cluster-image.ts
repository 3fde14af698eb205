import { Readable } from 'node:stream'
import { type ClusterMetadata, formatClusterMetadata } from '../../src/core/cluster-metadata.ts'
import { digestOf } from '../../src/core/digest.ts'
import type { DeployImage } from '../../src/deploy/deploy-image.ts'
import type { RootfsFile } from '../../src/oci/rootfs-file.ts'

export const sampleImages = [
  'docker.io/rancher/mirrored-pause:3.6',
  'docker.io/rancher/mirrored-coredns-coredns:1.12.0',
]

/** Just large enough to travel by itself. */
export const archive = 'images'.repeat(700_000)

export interface SampleOptions {
  readonly metadata?: Partial<ClusterMetadata>
  /** Files beside or instead of the usual ones; undefined leaves one out. */
  readonly files?: Readonly<Record<string, string | undefined>>
  /** Files that stand for larger ones: how many bytes. Only a simulation believes it. */
  readonly sizes?: Readonly<Record<string, number>>
}

/** A small linux/amd64 cluster image that lies in memory; its archive counts as a large file. */
export function sampleClusterImage(options: SampleOptions = {}): DeployImage {
  const metadata: ClusterMetadata = {
    apiVersion: 'cloudimg.io/v1',
    kind: 'ClusterImage',
    runtime: 'k3s',
    version: 'v1.31.4+k3s1',
    platform: 'linux/amd64',
    sealed: true,
    unsealed: [],
    artifacts: [],
    features: [],
    components: {},
    images: [],
    ...options.metadata,
  }
  const content: Record<string, string | undefined> = {
    Metadata: formatClusterMetadata(metadata),
    'bin/k3s': 'the k3s program',
    'images/k3s-airgap-images-amd64.tar.zst': archive,
    'images/k3s-images.txt': `${sampleImages.join('\n')}\n`,
    'scripts/cloudimg-node': '#!/bin/sh\n',
    'scripts/k3s-install.sh': '#!/bin/sh\n# upstream\n',
    ...options.files,
  }
  const files = Object.entries(content)
    .filter((entry): entry is [string, string] => entry[1] !== undefined)
    .map(([path, text]) => fileOf(path, Buffer.from(text), options.sizes?.[path]))
  const directories = ['bin', 'images', 'scripts'].map(path => ({ type: 'directory', path, mode: 0o755 }) as const)
  const tree: readonly RootfsFile[] = [...directories, ...files].sort((a, b) => (a.path < b.path ? -1 : 1))
  const digest = digestOf(JSON.stringify(tree.map(file => [file.path, file.type === 'file' ? file.digest : ''])))
  const arch = metadata.platform === 'linux/arm64' ? 'arm64' : 'amd64'
  const platform = {
    platform: { os: 'linux', arch },
    digest,
    metadata,
    listRootfs: () => Promise.resolve(tree),
  } as const
  return { reference: 'registry.local/k3s:v1.31.4', digest: digestOf(digest), platforms: [platform] }
}

function fileOf(path: string, content: Buffer, size = content.length): RootfsFile {
  const mode = path.startsWith('bin/') || path.startsWith('scripts/') ? 0o755 : 0o644
  const open = (): Promise<Readable> => Promise.resolve(Readable.from([content]))
  return { type: 'file', path, mode, size, digest: digestOf(content), open }
}
