import type { Context } from '../core/context.ts'
import type { Descriptor } from './descriptor.ts'
import type { BlobReader } from './ends.ts'
import { openLayerTar } from './layer-reader.ts'

/** How many unpackings of one layer are kept open between two reads. */
const idleCursors = 8

/**
 * Parts of a compressed layer's plain tar. There is no way to a part but from the layer's start; who reads its parts in
 * order, as files of a tree are read, unpacks it once all the same: each read goes on where an earlier one stopped.
 */
export class CompressedLayer {
  readonly #source: BlobReader
  readonly #layer: Descriptor
  readonly #idle: Cursor[] = []

  constructor(source: BlobReader, layer: Descriptor) {
    this.#source = source
    this.#layer = layer
  }

  async *read(offset: number, length: number, ctx: Context): AsyncGenerator<Buffer> {
    const cursor = this.#takeNearest(offset) ?? new Cursor(await openLayerTar(this.#source, this.#layer, ctx))
    let whole = false
    try {
      await cursor.skipTo(offset)
      yield* cursor.take(length)
      whole = true
    } finally {
      if (whole && this.#idle.length < idleCursors) this.#idle.push(cursor)
      else await cursor.close()
    }
  }

  #takeNearest(offset: number): Cursor | undefined {
    const before = this.#idle.filter(cursor => cursor.at <= offset)
    const nearest = before.sort((a, b) => b.at - a.at)[0]
    if (nearest !== undefined) this.#idle.splice(this.#idle.indexOf(nearest), 1)
    return nearest
  }
}

class Cursor {
  readonly #iterator: AsyncIterator<Buffer>
  #chunk: Buffer = Buffer.alloc(0)
  at = 0

  constructor(source: AsyncIterable<Buffer>) {
    this.#iterator = source[Symbol.asyncIterator]()
  }

  async skipTo(offset: number): Promise<void> {
    for await (const skipped of this.take(offset - this.at)) void skipped
  }

  async *take(length: number): AsyncGenerator<Buffer> {
    for (let left = length; left > 0;) {
      if (this.#chunk.length === 0) {
        const next = await this.#iterator.next()
        if (next.done === true) return
        this.#chunk = next.value
        continue
      }
      const part = this.#chunk.subarray(0, left)
      this.#chunk = this.#chunk.subarray(part.length)
      this.at += part.length
      left -= part.length
      yield part
    }
  }

  async close(): Promise<void> {
    await this.#iterator.return?.()
  }
}
