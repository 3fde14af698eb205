import { open } from 'node:fs/promises'
import { zstdCompressSync, constants, gzip } from 'node:zlib'
import { promisify } from 'node:util'
import { KiB, MiB } from '../../core/bytes.ts'
import { sniffCompression } from '../../io/compression.ts'
import { frameBytes, zstdFrame } from '../../io/zstd.ts'
import type { TreeFile } from '../tree.ts'
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
export async function isCompressible(spec: LayerSpec): Promise<boolean> {
  if (bytesOf(spec) < smallestWorthwhile) return false
  const files = spec.entries.filter((entry): entry is TreeFile => entry.type === 'file' && entry.size > 0)
  const parts: Buffer[] = []
  const step = bytesOf(spec) / samples
  for (let sample = 0, at = 0, index = 0; sample < samples && index < files.length; sample++) {
    const wanted = sample * step
    while (index < files.length - 1 && at + files[index]!.size <= wanted) at += files[index++]!.size
    parts.push(await readSample(files[index]!, Math.max(0, Math.floor(wanted - at))))
  }
  const [compressed, plain] = parts.reduce(([a, b], part) => [a + packedSize(part), b + part.length], [0, 0])
  return plain > 0 && compressed <= plain * worthwhileRatio
}

function packedSize(part: Buffer): number {
  if (sniffCompression(part) !== 'none') return part.length
  return zstdCompressSync(part, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }).length
}

async function readSample(file: TreeFile, offset: number): Promise<Buffer> {
  // What comes from the download cache are release artifacts: archives and self-extracting programs.
  if (file.content.from === 'pool') return Buffer.from([0x28, 0xb5, 0x2f, 0xfd])
  if (file.content.from === 'memory') return file.content.bytes.subarray(offset, offset + sampleBytes)
  const handle = await open(file.content.path, 'r')
  try {
    const buffer = Buffer.alloc(Math.min(sampleBytes, Math.max(0, file.size - offset)))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
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
