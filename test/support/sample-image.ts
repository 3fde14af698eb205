import { Readable } from 'node:stream'
import { digestOf } from '../../src/core/digest.ts'
import { type Descriptor, mediaTypes } from '../../src/oci/descriptor.ts'
import type { BlobSource, ByteRange } from '../../src/oci/ends.ts'
import { encodeHeader, tarEnd, tarPadding } from '../../src/io/tar.ts'

/** Bytes with their descriptor, and as what `write` takes. */
export interface Sample {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
  readonly source: BlobSource
}

export function sample(content: string | Buffer, mediaType: string = mediaTypes.layer): Sample {
  const bytes = Buffer.from(content)
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
  const open = async (range?: ByteRange): Promise<Readable> => {
    const end = range?.length === undefined ? undefined : range.offset + range.length
    return Readable.from(inPieces(bytes.subarray(range?.offset ?? 0, end)), { objectMode: false })
  }
  return { descriptor, bytes, source: { open } }
}

async function* inPieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}

export function jsonSample(value: unknown, mediaType: string): Sample {
  return sample(JSON.stringify(value), mediaType)
}

export interface SampleImage {
  readonly manifest: Sample
  readonly config: Sample
  readonly layer: Sample
  /** Children before parents. */
  readonly all: readonly Sample[]
}

/** A real image of one layer with one file. */
export function sampleImage(architecture: string, content: string | Buffer = `for ${architecture}\n`): SampleImage {
  const file = Buffer.from(content)
  const entry = { type: 'file', path: 'etc/sample', mode: 0o644, uid: 0, gid: 0, size: file.length, mtime: 0 } as const
  const layer = sample(Buffer.concat([encodeHeader(entry), file, tarPadding(file.length), tarEnd]))
  const config = jsonSample(
    { architecture, os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [layer.descriptor.digest] } },
    mediaTypes.config,
  )
  const manifest = jsonSample(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: config.descriptor,
      layers: [layer.descriptor],
    },
    mediaTypes.manifest,
  )
  return { manifest, config, layer, all: [layer, config, manifest] }
}

export interface SampleIndex {
  readonly index: Sample
  readonly images: readonly SampleImage[]
  /** Children before parents. */
  readonly all: readonly Sample[]
}

export function sampleIndex(architectures: readonly string[], content?: Buffer): SampleIndex {
  const images = architectures.map(architecture => sampleImage(architecture, content))
  const manifests = images.map(({ manifest }, i) => ({
    ...manifest.descriptor,
    platform: { os: 'linux', architecture: architectures[i]! },
  }))
  const index = jsonSample({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }, mediaTypes.index)
  return { index, images, all: [...images.flatMap(image => image.all), index] }
}
