import { createHash } from 'node:crypto'
import { documentLimit, hasBlob, putBlob, readDocument, type StoredImage } from './image-store.ts'
import { normaliseName } from './image-name.ts'
import { digestOf, readTar } from './tar-reader.ts'

export interface ArchiveOptions {
  /** All platforms, as k3s imports; else only this machine's. */
  readonly allPlatforms: boolean
  /** Where an index may name blobs that are not there. */
  readonly toleratesMissing: boolean
  /** What `org.opencontainers.image.ref.name` becomes; k3s takes it verbatim. */
  readonly translateRefName: (refName: string) => string | undefined
}

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: { readonly os: string; readonly architecture: string }
}

interface Manifest {
  readonly manifests?: readonly Descriptor[]
  readonly config?: Descriptor
  readonly layers?: readonly Descriptor[]
}

interface DockerImage {
  readonly Config: string
  readonly RepoTags?: readonly string[] | null
  readonly Layers: readonly string[]
}

const indexTypes = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
])
const manifestType = 'application/vnd.docker.distribution.manifest.v2+json'

/**
 * Takes in an uncompressed docker-archive or OCI layout, as containerd does: every file is stored under the digest of what it
 * really contains, and only then do the documents have to lead to files that are there. OCI wins where both are present.
 * @returns the named images; a name is written by the caller. (facts/k3s.md §4.1)
 */
export async function readImageArchive(
  source: AsyncIterable<Uint8Array>,
  options: ArchiveOptions,
): Promise<readonly StoredImage[]> {
  const content = await storeFiles(source)
  if (content.documents.has('oci-layout')) return fromOciLayout(content, options)
  if (content.documents.has('manifest.json')) return fromDockerArchive(content)
  throw new Error('unrecognized image format')
}

interface Content {
  /** Path in the archive → digest of its content. */
  readonly files: ReadonlyMap<string, string>
  /** Size by digest. */
  readonly sizes: ReadonlyMap<string, number>
  /** The top-level JSON files. */
  readonly documents: ReadonlyMap<string, Buffer>
}

async function storeFiles(source: AsyncIterable<Uint8Array>): Promise<Content> {
  const files = new Map<string, string>()
  const sizes = new Map<string, number>()
  const documents = new Map<string, Buffer>()
  for await (const file of readTar(source)) {
    if (file.linkTarget !== undefined) {
      const linked = files.get(resolveLink(file.name, file.linkTarget))
      if (linked !== undefined) files.set(file.name, linked)
      continue
    }
    if (file.name.endsWith('/') || file.name === '') continue
    const { digest, bytes } = await digestOf(file, documentLimit)
    files.set(file.name, digest)
    sizes.set(digest, file.size)
    if (!file.name.includes('/') && bytes !== undefined) documents.set(file.name, bytes)
    else putBlob(digest, file.size, bytes)
  }
  return { files, sizes, documents }
}

/** docker save links a layer that occurs twice: `../<id>/layer.tar`. */
function resolveLink(from: string, target: string): string {
  return new URL(target, `file:///${from}`).pathname.slice(1)
}

function fromOciLayout({ documents }: Content, options: ArchiveOptions): readonly StoredImage[] {
  const index = JSON.parse(documents.get('index.json')?.toString() ?? '{}') as Manifest
  return (index.manifests ?? []).flatMap(descriptor => {
    checkComplete(descriptor, options)
    const name = nameOf(descriptor, options)
    return name === undefined ? [] : [{ name, target: descriptor.digest, mediaType: descriptor.mediaType, labels: {} }]
  })
}

function nameOf({ annotations = {} }: Descriptor, options: ArchiveOptions): string | undefined {
  const full = annotations['io.containerd.image.name']
  if (full !== undefined && full !== '') return full
  const refName = annotations['org.opencontainers.image.ref.name']
  return refName === undefined || refName === '' ? undefined : options.translateRefName(refName)
}

/** @throws in containerd's words where a document leads to a blob that is not there. */
function checkComplete(descriptor: Descriptor, options: ArchiveOptions): void {
  if (!hasBlob(descriptor.digest)) throw new Error(`content digest ${descriptor.digest}: not found`)
  if (!indexTypes.has(descriptor.mediaType) && !descriptor.mediaType.includes('manifest')) return
  const document = readDocument(descriptor.digest) as Manifest
  for (const child of wantedManifests(document.manifests ?? [], options)) checkComplete(child, options)
  for (const blob of [...(document.config === undefined ? [] : [document.config]), ...(document.layers ?? [])])
    if (!hasBlob(blob.digest)) throw new Error(`content digest ${blob.digest}: not found`)
}

function wantedManifests(manifests: readonly Descriptor[], options: ArchiveOptions): readonly Descriptor[] {
  const matching = options.allPlatforms ? manifests : manifests.filter(isForThisMachine)
  if (!options.toleratesMissing) return matching
  const present = matching.filter(({ digest }) => hasBlob(digest))
  return present.length === 0 ? matching : present
}

function isForThisMachine({ platform }: Descriptor): boolean {
  const architecture = { x64: 'amd64', arm64: 'arm64', arm: 'arm' }[process.arch as string] ?? process.arch
  return platform === undefined || (platform.os === 'linux' && platform.architecture === architecture)
}

/** containerd writes the manifest that docker's form lacks. */
function fromDockerArchive({ files, sizes, documents }: Content): readonly StoredImage[] {
  const images = JSON.parse(documents.get('manifest.json')?.toString() ?? '[]') as readonly DockerImage[]
  const descriptor = (path: string, mediaType: string): Descriptor => {
    const digest = files.get(path)
    if (digest === undefined) throw new Error(`${path} not found in the archive`)
    return { mediaType, size: sizes.get(digest) ?? 0, digest }
  }
  return images.flatMap(image => {
    const config = descriptor(image.Config, 'application/vnd.docker.container.image.v1+json')
    const configBytes = documents.get(image.Config)
    if (configBytes !== undefined) putBlob(config.digest, configBytes.length, configBytes)
    const layers = image.Layers.map(path => descriptor(path, 'application/vnd.docker.image.rootfs.diff.tar'))
    const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers }))
    const target = `sha256:${createHash('sha256').update(manifest).digest('hex')}`
    putBlob(target, manifest.length, manifest)
    return (image.RepoTags ?? []).map(tag => ({
      name: normaliseName(tag),
      target,
      mediaType: manifestType,
      labels: {},
    }))
  })
}
