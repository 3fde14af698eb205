import { createHash } from 'node:crypto'
import type { Arch } from '../../src/core/platform.ts'
import { encodeHeader, tarEnd, tarPadding } from '../../src/io/tar.ts'
import { noise } from './build-standin.ts'
import { atLeast } from './k3s-standin/profile.ts'

interface Blob {
  readonly digest: string
  readonly bytes: Buffer
}

const ociManifest = 'application/vnd.oci.image.manifest.v1+json'

/**
 * An archive of tiny real images: one layer each, with bytes that do not compress. Up to v1.25 as `docker save` writes it, later an
 * OCI layout with docker's manifest beside it. (facts/k3s.md §2.1; which release changed is not known)
 */
export function standinImageArchive(tag: string, arch: Arch, names: readonly string[], layerBytes: number): Buffer {
  const images = names.map(name => tinyImage(tag, arch, name, layerBytes))
  if (!atLeast('1.26.0', tag)) return dockerArchive(images, ({ name }) => [name.replace(/^docker\.io\//, '')])
  return ociArchive(images, ({ name }) => ({
    'io.containerd.image.name': name,
    'org.opencontainers.image.ref.name': name.replace(/^.*:/, ''),
  }))
}

export interface TinyImage {
  readonly name: string
  readonly layer: Blob
  readonly config: Blob
  readonly manifest: Blob
}

/** One layer with that many bytes of content; everything else follows from the arguments. */
export function tinyImage(tag: string, arch: Arch, name: string, layerBytes: number): TinyImage {
  const content = Buffer.concat([...noise(`${tag} ${arch} ${name}`, layerBytes)].map(block => Buffer.from(block)))
  const layer = blobOf(tarOf([{ path: 'stand-in', bytes: content }]))
  const config = blobOf(
    json({
      architecture: arch,
      os: 'linux',
      config: { Cmd: ['/stand-in'] },
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
      history: [{ created: '1970-01-01T00:00:00Z', created_by: `k3s stand-in, for tests only: ${name}` }],
    }),
  )
  const manifest = blobOf(
    json({
      schemaVersion: 2,
      mediaType: ociManifest,
      config: descriptor('application/vnd.oci.image.config.v1+json', config),
      layers: [descriptor('application/vnd.oci.image.layer.v1.tar', layer)],
    }),
  )
  return { name, layer, config, manifest }
}

/** An OCI layout with docker's manifest.json beside it. */
export function ociArchive(
  images: readonly TinyImage[],
  annotationsOf: (image: TinyImage) => Readonly<Record<string, string>>,
): Buffer {
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: images.map(image => ({
      ...descriptor(ociManifest, image.manifest),
      annotations: annotationsOf(image),
    })),
  }
  const docker = images.map(({ name, config, layer }) => ({
    Config: blobPath(config),
    RepoTags: [name],
    Layers: [blobPath(layer)],
  }))
  const blobs = images.flatMap(({ layer, config, manifest }) => [layer, config, manifest])
  return tarOf([
    { path: 'oci-layout', bytes: json({ imageLayoutVersion: '1.0.0' }) },
    ...blobs.map(blob => ({ path: blobPath(blob), bytes: blob.bytes })),
    { path: 'index.json', bytes: json(index) },
    { path: 'manifest.json', bytes: json(docker) },
  ])
}

/** What `docker save` writes; docker leaves docker.io out of the tags. */
export function dockerArchive(images: readonly TinyImage[], tagsOf: (image: TinyImage) => readonly string[]): Buffer {
  const files = images.flatMap(({ layer, config }) => [
    { path: `${hexOf(layer)}/layer.tar`, bytes: layer.bytes },
    { path: `${hexOf(config)}.json`, bytes: config.bytes },
  ])
  const manifest = images.map(image => ({
    Config: `${hexOf(image.config)}.json`,
    RepoTags: tagsOf(image),
    Layers: [`${hexOf(image.layer)}/layer.tar`],
  }))
  return tarOf([...files, { path: 'manifest.json', bytes: json(manifest) }])
}

function tarOf(files: readonly { readonly path: string; readonly bytes: Buffer }[]): Buffer {
  const parts = files.flatMap(({ path, bytes }) => [
    encodeHeader({ type: 'file', path, mode: 0o644, uid: 0, gid: 0, size: bytes.length, mtime: 0 }),
    bytes,
    tarPadding(bytes.length),
  ])
  return Buffer.concat([...parts, tarEnd])
}

function descriptor(mediaType: string, { digest, bytes }: Blob): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest, size: bytes.length }
}

function blobOf(bytes: Buffer): Blob {
  return { bytes, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` }
}

function hexOf({ digest }: Blob): string {
  return digest.slice('sha256:'.length)
}

function blobPath(blob: Blob): string {
  return `blobs/sha256/${hexOf(blob)}`
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
