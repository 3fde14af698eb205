import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { KiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { withFileErrors } from '../../io/files.ts'
import { mediaTypes } from '../../oci/descriptor.ts'
import type { BlobDraft, Store } from '../../oci/store/store.ts'
import { looksCompressible } from '../layers/compress.ts'
import { largeFile } from '../layers/layer-spec.ts'
import type { Content, StoredTar } from '../tree.ts'

/** Bytes that a command left, on their way into the store. */
export interface KeptFile {
  readonly digest: Digest
  /** Known once all of them are kept. */
  content(): Content
}

const sampleBytes = 256 * KiB

/**
 * Takes in files one after another: a large one that packing would not shrink becomes a blob of its own, as a download
 * is, all others stand behind each other in one. What turns out to be known already leaves no trace.
 */
export class ContentKeeper {
  readonly #store: Store
  #draft: BlobDraft | undefined
  #handle: FileHandle | undefined
  #hash: Hash = createHash('sha256')
  #size = 0
  #blob: StoredTar | undefined

  constructor(store: Store) {
    this.#store = store
  }

  /** Reads the file whole. `known` tells of its digest whether its content is to be had elsewhere. */
  async keep(
    bytes: AsyncIterable<Buffer>,
    size: number,
    known: (digest: Digest) => Promise<Content | undefined>,
    ctx: Context,
  ): Promise<KeptFile> {
    if (size < largeFile) return await this.#append(bytes, known)
    const { head, rest } = await headOf(bytes)
    if (looksCompressible(head)) return await this.#append(rest, known)
    return await this.#alone(rest, known, ctx)
  }

  async #append(
    bytes: AsyncIterable<Buffer>,
    known: (digest: Digest) => Promise<Content | undefined>,
  ): Promise<KeptFile> {
    this.#draft ??= await this.#store.draft()
    const { path } = this.#draft
    const [offset, before] = [this.#size, this.#hash.copy()]
    const own = createHash('sha256')
    await withFileErrors('writing', path, async () => {
      this.#handle ??= await open(path, 'r+')
      for await (const chunk of bytes) {
        own.update(chunk)
        this.#hash.update(chunk)
        for (let at = 0; at < chunk.length;) {
          const { bytesWritten } = await this.#handle.write(chunk, at, chunk.length - at, this.#size)
          at += bytesWritten
          this.#size += bytesWritten
        }
      }
    })
    const digest: Digest = `sha256:${own.digest('hex')}`
    const elsewhere = await known(digest)
    if (elsewhere === undefined) return { digest, content: () => ({ from: 'tar', tar: this.#blob!, offset }) }
    this.#size = offset
    this.#hash = before
    return { digest, content: () => elsewhere }
  }

  async #alone(
    bytes: AsyncIterable<Buffer>,
    known: (digest: Digest) => Promise<Content | undefined>,
    ctx: Context,
  ): Promise<KeptFile> {
    const draft = await this.#store.draft()
    try {
      const own = createHash('sha256')
      await withFileErrors('writing', draft.path, async () => {
        const handle = await open(draft.path, 'r+')
        try {
          for await (const chunk of bytes) {
            ctx.signal.throwIfAborted()
            own.update(chunk)
            for (let at = 0; at < chunk.length;) at += (await handle.write(chunk, at)).bytesWritten
          }
        } finally {
          await handle.close()
        }
      })
      const digest: Digest = `sha256:${own.digest('hex')}`
      const elsewhere = await known(digest)
      if (elsewhere === undefined) await draft.commit(digest)
      else await draft.discard()
      return { digest, content: () => elsewhere ?? { from: 'pool', digest } }
    } catch (error) {
      await draft.discard()
      throw error
    }
  }

  /** After the last file. */
  async finish(): Promise<void> {
    if (this.#draft === undefined) return
    await this.#handle?.truncate(this.#size)
    await this.#handle?.close()
    const digest: Digest = `sha256:${this.#hash.digest('hex')}`
    if (this.#size === 0) await this.#draft.discard()
    else await this.#draft.commit(digest)
    // Not a tar, but read as one is: by offset.
    this.#blob = { blob: { mediaType: mediaTypes.layer, digest, size: this.#size }, diffId: digest }
    this.#draft = undefined
  }

  async discard(): Promise<void> {
    await this.#handle?.close().catch(() => {})
    await this.#draft?.discard()
  }
}

/** The first bytes, as many as a sample takes, and all bytes again. */
async function headOf(
  source: AsyncIterable<Buffer>,
): Promise<{ readonly head: Buffer; readonly rest: AsyncGenerator<Buffer> }> {
  const iterator = source[Symbol.asyncIterator]()
  const parts: Buffer[] = []
  for (let size = 0; size < sampleBytes;) {
    const next = await iterator.next()
    if (next.done === true) break
    parts.push(next.value)
    size += next.value.length
  }
  const rest = async function* (): AsyncGenerator<Buffer> {
    yield* parts
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value
  }
  return { head: Buffer.concat(parts).subarray(0, sampleBytes), rest: rest() }
}
