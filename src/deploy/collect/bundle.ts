import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip, createZstdCompress } from 'node:zlib'
import { CloudimgError } from '../../core/error.ts'
import { fileError, syncDirectory, temporaryBeside, withFileErrors } from '../../io/files.ts'
import { encodeHeader, tarEnd, tarPadding } from '../../io/tar.ts'

/** @throws USAGE for a name that tells no form. */
export function compressorFor(path: string): Transform {
  if (/\.(?:tar\.gz|tgz)$/.test(path)) return createGzip()
  if (path.endsWith('.tar.zst')) return createZstdCompress()
  throw new CloudimgError('USAGE', `reading --output "${path}": what form it shall have cannot be told from its name`, {
    hint: 'end it with .tar.gz or .tar.zst',
  })
}

/** A compressed tar for nobody else to read, written as its files come; it has its name only when it is whole. */
export class Bundle {
  readonly #path: string
  readonly #temporary: string
  readonly #pack: Transform
  readonly #written: Promise<void>
  readonly #time: number
  #last: Promise<void> = Promise.resolve()

  private constructor(path: string, pack: Transform, now: number) {
    this.#path = path
    this.#temporary = temporaryBeside(path)
    this.#pack = pack
    this.#time = Math.floor(now / 1000)
    this.#written = pipeline(pack, createWriteStream(this.#temporary, { mode: 0o600, flags: 'wx', flush: true }))
    // Whoever writes next, or closes, is told.
    this.#written.catch(() => undefined)
  }

  /** `now` in milliseconds since 1970: what its files are dated. @throws USAGE */
  static async create(path: string, now: number): Promise<Bundle> {
    const pack = compressorFor(path)
    await withFileErrors('writing', path, () => mkdir(dirname(path), { recursive: true }))
    return new Bundle(path, pack, now)
  }

  /** Files come from several hosts at once; each is written whole before the next. */
  async add(path: string, text: string): Promise<void> {
    const content = Buffer.from(text)
    const header = encodeHeader({
      path,
      type: 'file',
      mode: 0o600,
      uid: 0,
      gid: 0,
      size: content.length,
      mtime: this.#time,
    })
    const write = async (): Promise<void> => {
      for (const piece of [header, content, tarPadding(content.length)]) await this.#write(piece)
    }
    this.#last = this.#last.then(write)
    await this.#last
  }

  /** Returns its size in bytes. */
  async close(): Promise<number> {
    await this.#last
    this.#pack.end(tarEnd)
    return await withFileErrors('writing', this.#path, async () => {
      await this.#written
      await rename(this.#temporary, this.#path)
      await syncDirectory(dirname(this.#path))
      return (await stat(this.#path)).size
    })
  }

  /** Nothing is left of it. */
  async drop(): Promise<void> {
    this.#pack.destroy()
    await this.#written.catch(() => undefined)
    await rm(this.#temporary, { force: true })
  }

  async #write(piece: Buffer): Promise<void> {
    if (piece.length === 0 || this.#pack.write(piece)) return
    try {
      await Promise.race([once(this.#pack, 'drain'), this.#written])
    } catch (error) {
      throw fileError('writing', this.#path, error)
    }
  }
}
