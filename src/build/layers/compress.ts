import { zstdCompressSync, constants, gzip } from 'node:zlib'
import { promisify } from 'node:util'
import { KiB, MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import { sniffCompression } from '../../io/compression.ts'
import { frameBytes, zstdFrame } from '../../io/zstd.ts'
import type { Store } from '../../oci/store/store.ts'
import type { TreeFile } from '../tree.ts'
import { readTreeSample } from '../tree-content.ts'
import { bytesOf, type LayerSpec } from './layer-spec.ts'

/** What compressible layers are packed with; incompressible ones are plain tars whatever is asked for. */
export type Compression = 'zstd' | 'gzip' | 'none'

export const zstdLevel = 3
const gzipLevel = 6
const smallestWorthwhile = MiB
const worthwhileRatio = 0.9
const sampleBytes = 256 * KiB
const samples = 5

/** Whether packing would save a tenth: judged by samples spread over the layer, so that no large file is read for it. */
export async function isCompressible(store: Store, spec: LayerSpec, ctx: Context): Promise<boolean> {
  if (bytesOf(spec) < smallestWorthwhile) return false
  const files = spec.entries.filter((entry): entry is TreeFile => entry.type === 'file' && entry.size > 0)
  const parts: Buffer[] = []
  const step = bytesOf(spec) / samples
  for (let sample = 0, at = 0, index = 0; sample < samples && index < files.length; sample++) {
    const wanted = sample * step
    while (index < files.length - 1 && at + files[index]!.size <= wanted) at += files[index++]!.size
    parts.push(await readSample(store, files[index]!, Math.max(0, Math.floor(wanted - at)), ctx))
  }
  const [compressed, plain] = parts.reduce(([a, b], part) => [a + packedSize(part), b + part.length], [0, 0])
  return plain > 0 && compressed <= plain * worthwhileRatio
}

/** Whether packing bytes like these would save a tenth. */
export function looksCompressible(sample: Buffer): boolean {
  return packedSize(sample) <= sample.length * worthwhileRatio
}

function packedSize(part: Buffer): number {
  if (sniffCompression(part) !== 'none') return part.length
  return zstdCompressSync(part, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }).length
}

async function readSample(store: Store, file: TreeFile, offset: number, ctx: Context): Promise<Buffer> {
  // What comes from the download cache are release artifacts: archives and self-extracting programs.
  if (file.content.from === 'pool') return Buffer.from([0x28, 0xb5, 0x2f, 0xfd])
  return await readTreeSample(store, file, { offset, length: sampleBytes }, ctx)
}

const gzipMember = promisify(gzip)

/**
 * Independent frames (zstd) or members (gzip) of 4 MiB each, up to three in the making, in order. Node's gzip header
 * carries neither name nor time, so the same bytes give the same bytes.
 */
export async function* compressChunks(
  source: AsyncIterable<Buffer>,
  compression: 'zstd' | 'gzip',
): AsyncGenerator<Buffer> {
  const pack = (part: Buffer): Promise<Buffer> =>
    compression === 'zstd' ? zstdFrame(part, zstdLevel) : gzipMember(part, { level: gzipLevel })
  const underWay: Promise<Buffer>[] = []
  for await (const part of inFrames(source)) {
    const packing = pack(part)
    packing.catch(() => {})
    underWay.push(packing)
    if (underWay.length === 3) yield await underWay.shift()!
  }
  while (underWay.length > 0) yield await underWay.shift()!
}

async function* inFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = []
  let size = 0
  for await (const chunk of source) {
    for (let rest = chunk; rest.length > 0;) {
      const part = rest.subarray(0, frameBytes - size)
      rest = rest.subarray(part.length)
      parts.push(part)
      size += part.length
      if (size < frameBytes) continue
      yield Buffer.concat(parts)
      parts = []
      size = 0
    }
  }
  if (size > 0) yield Buffer.concat(parts)
}
