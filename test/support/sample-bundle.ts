import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type ClusterMetadata, formatClusterMetadata } from '../../src/core/cluster-metadata.ts'
import { digestOf, hexOf } from '../../src/core/digest.ts'
import { parsePlatform } from '../../src/core/platform.ts'
import type { RootfsFile } from '../../src/oci/rootfs-file.ts'
import { Bundle } from '../../src/prove/bundle.ts'
import {
  formatLayoutIndex,
  formatLayoutList,
  type LaidImage,
  layoutBlobPath,
  layoutMarker,
} from '../../src/workload/image-layout.ts'
import { dockerArchive, tinyImage } from './standin-images.ts'
import { type WorkloadImage, workloadImage } from './workload-images.ts'

export const bundleRuntimeImages = ['docker.io/rancher/mirrored-pause:3.6', 'docker.io/rancher/klipper-lb:v0.4.9']
export const bundleInstaller = readFileSync(join(import.meta.dirname, '../../scripts/cloudimg-node'), 'utf8')

/** nginx and redis share a layer. */
const workloads: Readonly<Record<string, WorkloadImage>> = {
  'docker.io/library/nginx:1.27': workloadImage({
    arches: ['amd64'],
    layers: [
      ['shared', 2000],
      ['nginx', 3000],
    ],
  }),
  'registry.local/redis:7': workloadImage({
    arches: ['amd64'],
    layers: [
      ['shared', 2000],
      ['redis', 1000],
    ],
  }),
}

const pinned = workloads['registry.local/redis:7']!.index.descriptor.digest

/** Asked for by tag, and the other one by the digest of its index too. */
export const bundleImages: readonly (readonly [name: string, askedBy: string])[] = [
  ['docker.io/library/nginx:1.27', 'manifests/web.yaml:4 spec.containers[0].image'],
  ['registry.local/redis:7', 'manifests/imageList:1'],
  [`registry.local/redis@${pinned}`, 'manifests/web.yaml:5 spec.containers[1].image'],
]

export interface SampleBundleOptions {
  readonly platform?: string
  readonly metadata?: Partial<ClusterMetadata>
  /** Beside or instead of the usual ones; undefined leaves one out. What is put in here the Metadata lists too. */
  readonly files?: Readonly<Record<string, string | Buffer | undefined>>
}

/** A small cluster image in memory that is proven as it stands. */
export function sampleBundle({ platform = 'linux/amd64', metadata, files }: SampleBundleOptions = {}): Bundle {
  const laid = bundleImages.map(([name]) => laidImage(name))
  const content: Record<string, string | Buffer | undefined> = {
    Kubefile:
      'FROM scratch\nBASE k3s@v1.31.4+k3s1\nCOPY . .\nCMDS ["kubectl apply -f manifests/web.yaml", "sh scripts/after.sh"]\n',
    'bin/k3s': program(62),
    'bin/tool': program(62),
    'etc/registries.yaml.tmpl': 'mirrors: {}\n',
    'images/k3s-airgap-images-amd64.tar': dockerArchive(
      bundleRuntimeImages.map(name => tinyImage('test', 'amd64', name, 64)),
      ({ name }) => [name],
    ),
    'images/k3s-images.txt': `${bundleRuntimeImages.join('\n')}\n`,
    'manifests/imageList': 'registry.local/redis:7\n',
    'manifests/web.yaml': `kind: Pod\nspec:\n  containers:\n    - image: nginx:1.27\n    - image: registry.local/redis:7@${pinned}\n`,
    'scripts/after.sh': '#!/bin/sh\nset -e\nkubectl get nodes\n. "$(dirname "$0")/common.sh"\n',
    'scripts/common.sh': 'wait_for() { kubectl wait "$1"; }\n',
    'scripts/cloudimg-node': bundleInstaller,
    'scripts/k3s-install.sh': '#!/bin/sh\ncurl -sfL https://github.com/k3s-io/k3s/releases\n',
    'images/oci/index.json': formatLayoutIndex(laid),
    'images/oci/images.txt': formatLayoutList(laid),
    'images/oci/oci-layout': layoutMarker,
    ...blobFiles(),
    ...files,
  }
  const present = Object.entries(content).filter((entry): entry is [string, string | Buffer] => entry[1] !== undefined)
  const listed = (isListed: (path: string) => boolean): { path: string; sha256: string; size: number }[] =>
    present
      .filter(([path]) => isListed(path))
      .map(([path, bytes]) => ({ path, sha256: hexOf(digestOf(bytes)), size: Buffer.from(bytes).length }))
  const isArtifact = (path: string): boolean => /^(?:bin\/k3s|images\/[^/]+|scripts\/k3s-install\.sh)$/.test(path)
  const full: ClusterMetadata = {
    apiVersion: 'cloudimg.io/v1',
    kind: 'ClusterImage',
    runtime: 'k3s',
    version: 'v1.31.4+k3s1',
    platform,
    sealed: true,
    unsealed: [],
    artifacts: listed(isArtifact).map(file => ({ name: file.path.replace('scripts/k3s-', ''), ...file })),
    files: listed(path => /^(?:bin|etc|scripts)\//.test(path) && !isArtifact(path) && path !== 'scripts/cloudimg-node'),
    features: [],
    components: {},
    images: bundleRuntimeImages,
    collected: bundleImages.map(([name, askedBy], i) => ({
      name,
      digest: laid[i]!.manifest.digest,
      size: 1,
      askedBy: [askedBy],
    })),
    launch: { applications: [], commands: ['kubectl apply -f manifests/web.yaml', 'sh scripts/after.sh'] },
    ...metadata,
  }
  const entries = [...present, ['Metadata', formatClusterMetadata(full)] as const].map(([path, bytes]) =>
    fileOf(path, Buffer.from(bytes)),
  )
  const sorted = entries.sort((a, b) => (a.path < b.path ? -1 : 1))
  return new Bundle({ platform: parsePlatform(platform), digest: digestOf(platform), metadata: full }, sorted)
}

/** The same one without an entry, and with others in the place of some. */
export function without(
  bundle: Bundle,
  paths: readonly string[],
  instead: Readonly<Record<string, Buffer>> = {},
): Bundle {
  const gone = new Set([...paths, ...Object.keys(instead)])
  const rest = bundle.entries.filter(({ path }) => !gone.has(path))
  return new Bundle(bundle, [...rest, ...Object.entries(instead).map(([path, bytes]) => fileOf(path, bytes))])
}

/** The lists of the layout without one name. */
export function layoutWithout(name: string): Readonly<Record<string, Buffer>> {
  const laid = bundleImages.filter(([other]) => other !== name).map(([other]) => laidImage(other))
  return { 'images/oci/index.json': formatLayoutIndex(laid), 'images/oci/images.txt': formatLayoutList(laid) }
}

/** A little-endian ELF header of 64 bits for a machine. */
export function program(machine: number): Buffer {
  const head = Buffer.alloc(64)
  head.write('\u007fELF\u0002\u0001\u0001', 'latin1')
  head.writeUInt16LE(machine, 18)
  return head
}

function laidImage(name: string): LaidImage {
  const [, image] = Object.entries(workloads).find(([full]) => name.startsWith(full.slice(0, full.lastIndexOf(':'))))!
  const [manifest] = image.manifests
  const { config, layers } = JSON.parse(manifest!.bytes.toString()) as Record<
    'config',
    { digest: `sha256:${string}` }
  > &
    Record<'layers', { digest: `sha256:${string}` }[]>
  return { name, manifest: manifest!.descriptor, blobs: [config.digest, ...layers.map(({ digest }) => digest)] }
}

function blobFiles(): Record<string, Buffer> {
  const parts = Object.values(workloads).flatMap(({ all, index }) => all.filter(part => part !== index))
  return Object.fromEntries(parts.map(({ descriptor, bytes }) => [layoutBlobPath(descriptor.digest), bytes]))
}

function fileOf(path: string, bytes: Buffer): RootfsFile {
  const mode = /^(?:bin|scripts)\//.test(path) ? 0o755 : 0o644
  const open = (): Promise<Readable> => Promise.resolve(Readable.from([bytes]))
  return { type: 'file', path, mode, size: bytes.length, digest: digestOf(bytes), open }
}
