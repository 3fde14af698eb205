import { createHash } from 'node:crypto'
import { lstat } from 'node:fs/promises'
import type { Context } from '../../../core/context.ts'
import type { Digest } from '../../../core/digest.ts'
import { isCloudimgError } from '../../../core/error.ts'
import { lstatIfPresent, readFileIfPresent } from '../../../io/files.ts'
import { hashFileInto } from '../../../io/hash.ts'
import { readFileRange } from '../../../io/read-file.ts'
import { blobPath, recipePath, type StoreLayout } from '../layout.ts'
import { parseRecipe, type Recipe } from '../recipe.ts'

export type Soundness =
  { readonly state: 'sound'; readonly size: number } | { readonly state: 'broken'; readonly why: string }

/** Reads what is in the store and believes nothing: each file's bytes are hashed, once in all. */
export class ContentCheck {
  readonly #layout: StoreLayout
  readonly #ctx: Context
  readonly #onRead: (bytes: number) => void
  readonly #blobs = new Map<Digest, Promise<Soundness>>()
  readonly #recipes = new Map<Digest, Promise<Soundness>>()

  constructor(layout: StoreLayout, ctx: Context, onRead: (bytes: number) => void) {
    this.#layout = layout
    this.#ctx = ctx
    this.#onRead = onRead
  }

  /** Undefined where there is no such file; asked again next time, since it may come. */
  async blob(digest: Digest): Promise<Soundness | undefined> {
    return await this.#once(this.#blobs, digest, () => this.#checkBlob(digest))
  }

  async recipe(digest: Digest): Promise<Soundness | undefined> {
    return await this.#once(this.#recipes, digest, () => this.#checkRecipe(digest))
  }

  /** As the store reads it: the file, or else the recipe. */
  async content(digest: Digest): Promise<Soundness | undefined> {
    return (await this.blob(digest)) ?? (await this.recipe(digest))
  }

  async #once(
    memory: Map<Digest, Promise<Soundness>>,
    digest: Digest,
    check: () => Promise<Soundness | undefined>,
  ): Promise<Soundness | undefined> {
    const known = memory.get(digest)
    if (known !== undefined) return await known
    const found = await check()
    if (found !== undefined) memory.set(digest, Promise.resolve(found))
    return found
  }

  async #checkBlob(digest: Digest): Promise<Soundness | undefined> {
    const path = blobPath(this.#layout, digest)
    const stats = await lstatIfPresent(path)
    if (stats === undefined) return undefined
    if (!stats.isFile()) return { state: 'broken', why: 'it is no file' }
    const hash = createHash('sha256')
    const size = await this.#hash(hash, path)
    if (size === undefined) return undefined
    const found = hash.digest('hex')
    return `sha256:${found}` === digest
      ? { state: 'sound', size }
      : { state: 'broken', why: `its bytes hash to sha256:${found}` }
  }

  // A blob that goes while it is read was nobody's: gc took it.
  async #hash(hash: ReturnType<typeof createHash>, path: string): Promise<number | undefined> {
    try {
      return await hashFileInto(hash, path, bytes => {
        this.#ctx.signal.throwIfAborted()
        this.#onRead(bytes)
      })
    } catch (error) {
      if (isCloudimgError(error, 'FILE_ERROR') && (await lstatIfPresent(path)) === undefined) return undefined
      throw error
    }
  }

  async #checkRecipe(digest: Digest): Promise<Soundness | undefined> {
    const path = recipePath(this.#layout, digest)
    const text = await readFileIfPresent(path)
    if (text === undefined) return undefined
    if (!(await lstat(path)).isFile()) return { state: 'broken', why: 'it is no file' }
    let recipe: Recipe
    try {
      recipe = parseRecipe(text.toString('utf8'), path)
    } catch {
      return { state: 'broken', why: 'it is no recipe' }
    }
    return await this.#checkSegments(digest, recipe)
  }

  async #checkSegments(digest: Digest, recipe: Recipe): Promise<Soundness> {
    const hash = createHash('sha256')
    let size = 0
    for (const segment of recipe.segments) {
      if ('inline' in segment) {
        hash.update(segment.inline)
        size += segment.inline.length
        continue
      }
      const part = await this.blob(segment.blob)
      if (part?.state !== 'sound')
        return {
          state: 'broken',
          why: `blob ${segment.blob}, a part of it, is ${part === undefined ? 'missing' : 'broken'}`,
        }
      if (segment.offset + segment.length > part.size)
        return { state: 'broken', why: `it takes more of blob ${segment.blob} than there is` }
      for await (const chunk of readFileRange(blobPath(this.#layout, segment.blob), segment.offset, segment.length)) {
        this.#ctx.signal.throwIfAborted()
        hash.update(chunk)
        size += chunk.length
        this.#onRead(chunk.length)
      }
    }
    const found = hash.digest('hex')
    if (size !== recipe.size) return { state: 'broken', why: `it makes ${size} bytes, not ${recipe.size}` }
    return `sha256:${found}` === digest
      ? { state: 'sound', size }
      : { state: 'broken', why: `what it makes hashes to sha256:${found}` }
  }
}
