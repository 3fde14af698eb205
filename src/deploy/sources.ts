import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { encodeHeader, tarEnd, tarPadding } from '../io/tar.ts'
import type { RootfsFile } from '../oci/rootfs-file.ts'
import type { TreeEntry } from '../runtime/step.ts'

type Regular = Extract<RootfsFile, { type: 'file' }>

/** Many entries as one file. */
export interface Pack {
  readonly size: number
  readonly digest: Digest
}

/** Where the bytes are that a plan names by digest. */
export class Sources {
  readonly #files = new Map<Digest, Regular>()
  readonly #packs = new Map<readonly TreeEntry[], Promise<Pack>>()

  constructor(trees: readonly (readonly RootfsFile[])[]) {
    for (const file of trees.flat()) if (file.type === 'file') this.#files.set(file.digest, file)
  }

  /** The bytes from `offset` on; what comes before is read and dropped. */
  async open(digest: Digest, offset: number, ctx: Context): Promise<Readable> {
    const file = this.#files.get(digest)
    if (file === undefined)
      throw new CloudimgError('BUG', `opening ${digest}: the plan names bytes that the image does not have`)
    const body = await file.open(ctx)
    return offset === 0 ? body : Readable.from(skip(body, offset), { objectMode: false })
  }

  /** The size and the digest of that tar, which is the same for the same entries; read once for each list of them. */
  async pack(entries: readonly TreeEntry[], ctx: Context): Promise<Pack> {
    const pack = this.#packs.get(entries) ?? this.#measure(entries, ctx)
    this.#packs.set(entries, pack)
    return await pack
  }

  async #measure(entries: readonly TreeEntry[], ctx: Context): Promise<Pack> {
    const hash = createHash('sha256')
    let size = 0
    for await (const chunk of this.#tarChunks(entries, ctx)) {
      hash.update(chunk)
      size += chunk.length
    }
    return { size, digest: `sha256:${hash.digest('hex')}` }
  }

  /** The entries as one tar stream, owned by root. */
  tar(entries: readonly TreeEntry[], ctx: Context, onProgress?: (bytes: number) => void): Readable {
    return Readable.from(this.#tarChunks(entries, ctx, onProgress), { objectMode: false })
  }

  async *#tarChunks(
    entries: readonly TreeEntry[],
    ctx: Context,
    onProgress?: (bytes: number) => void,
  ): AsyncGenerator<Buffer> {
    let done = 0
    for (const entry of entries) {
      const owner = { uid: 0, gid: 0, mtime: 0 }
      if (entry.type === 'symlink') {
        yield encodeHeader({
          ...owner,
          type: 'symlink',
          path: entry.path,
          mode: 0o777,
          size: 0,
          linkTarget: entry.target,
        })
      } else if (entry.type === 'directory') {
        yield encodeHeader({ ...owner, type: 'directory', path: entry.path, mode: entry.mode, size: 0 })
      } else {
        yield encodeHeader({ ...owner, type: 'file', path: entry.path, mode: entry.mode, size: entry.size })
        for await (const chunk of await this.open(entry.digest, 0, ctx)) yield chunk as Buffer
        yield tarPadding(entry.size)
        onProgress?.((done += entry.size))
      }
    }
    yield tarEnd
  }
}

/** What comes after the first `count` bytes. */
export async function* skip(body: Readable, count: number): AsyncGenerator<Buffer> {
  let left = count
  for await (const chunk of body as AsyncIterable<Buffer>) {
    const part = chunk.subarray(Math.min(left, chunk.length))
    left -= chunk.length - part.length
    if (part.length > 0) yield part
  }
}
