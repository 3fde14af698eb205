import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { readIfPresent, writeWhole } from './files.ts'
import { containerdDir } from './paths.ts'

/** A name in containerd's namespace k8s.io. */
export interface StoredImage {
  readonly name: string
  /** Digest of the manifest or index. */
  readonly target: string
  readonly mediaType: string
  readonly labels: Readonly<Record<string, string>>
}

/** The documents an image leads to. */
export interface ImageFacts {
  /** Digest of the config, which is the CRI's image id. */
  readonly config: string
  /** Bytes of the layers as stored, and of config. */
  readonly size: number
}

/** What is larger than this is never a document: its bytes are hashed, its size is kept, the file is sparse. */
export const documentLimit = 4 * 1024 * 1024

const blobsDir = join(containerdDir, 'io.containerd.content.v1.content/blobs/sha256')
const imagesDir = join(containerdDir, 'standin-images/k8s.io')

export function hasBlob(digest: string): boolean {
  return existsSync(blobPath(digest))
}

/** Keeps a verified blob: its bytes if it may be a document, else only its length. */
export function putBlob(digest: string, size: number, bytes: Buffer | undefined): void {
  if (hasBlob(digest)) return
  if (bytes !== undefined) return writeWhole(blobPath(digest), bytes, 0o444)
  mkdirSync(blobsDir, { recursive: true })
  const temp = `${blobPath(digest)}.tmp-${process.pid}`
  writeFileSync(temp, '')
  truncateSync(temp, size)
  renameSync(temp, blobPath(digest))
}

export function blobSize(digest: string): number {
  return statSync(blobPath(digest)).size
}

/** @throws in containerd's words where the blob is missing. */
export function readDocument(digest: string): Record<string, unknown> {
  if (!hasBlob(digest)) throw new Error(`content digest ${digest}: not found`)
  return JSON.parse(readFileSync(blobPath(digest), 'utf8')) as Record<string, unknown>
}

function blobPath(digest: string): string {
  return join(blobsDir, digest.slice('sha256:'.length))
}

export function listImages(): readonly StoredImage[] {
  if (!existsSync(imagesDir)) return []
  return readdirSync(imagesDir)
    .filter(file => file.endsWith('.json'))
    .map(file => JSON.parse(readFileSync(join(imagesDir, file), 'utf8')) as StoredImage)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

export function findImage(name: string): StoredImage | undefined {
  const text = readIfPresent(imagePath(name))
  return text === undefined ? undefined : (JSON.parse(text) as StoredImage)
}

/**
 * Writes a name. The CRI follows: it marks the image as its own and adds a name made of the config's digest, which is how the
 * image is known to it. (seen on v1.21.2)
 */
export function putImage(image: StoredImage): void {
  const managed = { ...image, labels: { ...image.labels, ...managedLabel } }
  writeWhole(imagePath(image.name), JSON.stringify(managed))
  const id = imageFacts(image.target).config
  if (id === image.name || findImage(id)?.target === image.target) return
  writeWhole(imagePath(id), JSON.stringify({ ...image, name: id, labels: managedLabel }))
}

/** Removes a name, and the CRI's own with the last one. False where there was none. */
export function removeImage(name: string): boolean {
  const image = findImage(name)
  if (image === undefined) return false
  rmSync(imagePath(name))
  const isLast = !listImages().some(other => other.target === image.target && !isImageId(other.name))
  if (isLast) rmSync(imagePath(imageFacts(image.target).config), { force: true })
  return true
}

/** The CRI's own names: a digest and nothing else. */
export function isImageId(name: string): boolean {
  return name.startsWith('sha256:')
}

const managedLabel = { 'io.cri-containerd.image': 'managed' } as const

function imagePath(name: string): string {
  return join(imagesDir, `${createHash('sha256').update(name).digest('hex')}.json`)
}

/** Follows an image to its config and layers; the first manifest of an index whose blobs are here. */
export function imageFacts(target: string): ImageFacts {
  const document = readDocument(target) as {
    readonly manifests?: readonly { readonly digest: string }[]
    readonly config?: { readonly digest: string; readonly size: number }
    readonly layers?: readonly { readonly size: number }[]
  }
  if (document.manifests !== undefined) {
    const here = document.manifests.find(({ digest }) => hasBlob(digest))
    if (here === undefined) throw new Error(`content digest ${document.manifests[0]?.digest}: not found`)
    return imageFacts(here.digest)
  }
  if (document.config === undefined) throw new Error(`${target} is no image manifest`)
  const layers = (document.layers ?? []).reduce((sum, layer) => sum + layer.size, 0)
  return { config: document.config.digest, size: layers + document.config.size }
}
