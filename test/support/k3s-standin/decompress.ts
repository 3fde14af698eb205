import { constants, createGunzip, createZstdDecompress } from 'node:zlib'
import { pipeline, Readable, type Transform } from 'node:stream'

/** k3s caps its decoder there: 32 MiB. (facts/k3s-observed.md 4) */
const maxWindowLog = 25

export function gunzip(source: AsyncIterable<Uint8Array>): AsyncIterable<Buffer> {
  return through(source, createGunzip())
}

/** Any number of frames, each through a decoder of its own: Node's own ends after the first. (facts/oci.md §9; until Node 26) */
export async function* unzstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const frames = new FrameSplitter(source)
  while (await frames.next()) {
    const decoder = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: maxWindowLog } })
    try {
      yield* through(frames.parts(), decoder)
    } catch (error) {
      const tooLarge = (error as NodeJS.ErrnoException).code === 'ZSTD_error_frameParameter_windowTooLarge'
      throw tooLarge ? new Error('window size exceeded', { cause: error }) : error
    }
  }
}

function through(source: AsyncIterable<Uint8Array>, decoder: Transform): AsyncIterable<Buffer> {
  pipeline(Readable.from(source, { objectMode: false }), decoder, () => {})
  return decoder
}

/** Finds the ends of zstd frames by their headers. (RFC 8878 §3.1.1) */
class FrameSplitter {
  private readonly source: AsyncIterator<Uint8Array>
  private pending: Buffer = Buffer.alloc(0)
  constructor(source: AsyncIterable<Uint8Array>) {
    this.source = source[Symbol.asyncIterator]()
  }

  /** True where another frame begins; skippable frames are passed over. */
  async next(): Promise<boolean> {
    while (await this.has(8)) {
      const magic = this.pending.readUInt32LE(0)
      if (magic === 0xfd2fb528) return true
      if ((magic & 0xfffffff0) >>> 0 !== 0x184d2a50) throw new Error('invalid input: magic number mismatch')
      const size = this.pending.readUInt32LE(4)
      await this.take(8 + size)
    }
    if (this.pending.length > 0) throw new Error('unexpected EOF')
    return false
  }

  async *parts(): AsyncGenerator<Buffer> {
    await this.has(5)
    const flags = this.pending[4] ?? 0
    const single = (flags >> 5) & 1
    const dictionary = [0, 1, 2, 4][flags & 3] ?? 0
    const contentSize = [single, 2, 4, 8][flags >> 6] ?? 0
    yield await this.take(5 + (1 - single) + dictionary + contentSize)
    for (let last = false; !last;) {
      if (!(await this.has(3))) throw new Error('unexpected EOF')
      const header = this.pending.readUIntLE(0, 3)
      last = (header & 1) === 1
      yield await this.take(3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3))
    }
    if (((flags >> 2) & 1) === 1) yield await this.take(4)
  }

  private async has(count: number): Promise<boolean> {
    const parts = [this.pending]
    let size = this.pending.length
    while (size < count) {
      const next = await this.source.next()
      if (next.done === true) break
      parts.push(Buffer.from(next.value))
      size += next.value.length
    }
    this.pending = parts.length === 1 ? this.pending : Buffer.concat(parts)
    return size >= count
  }

  private async take(count: number): Promise<Buffer> {
    if (!(await this.has(count))) throw new Error('unexpected EOF')
    const taken = this.pending.subarray(0, count)
    this.pending = this.pending.subarray(count)
    return taken
  }
}
