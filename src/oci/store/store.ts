import { mkdirSync } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { Context } from '../../core/context.ts'
import { type Digest, digestOf } from '../../core/digest.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { formatReference, parseReference, type Reference } from '../../core/reference.ts'
import { fileError, readFileIfPresent, statIfPresent, syncDirectory, withFileErrors } from '../../io/files.ts'
import { type Expected, verifying } from '../../io/hash.ts'
import { limits } from '../../io/limits.ts'
import type { Piece } from '../../io/pieces.ts'
import { readFileRange, streamOf } from '../../io/read-file.ts'
import { type Descriptor, isIndexType, isManifestType } from '../descriptor.ts'
import type { BlobSource, ByteRange, ImageSource, ImageTarget, Written } from '../ends.ts'
import { clearAbandoned } from './abandoned.ts'
import { readRelation, type Relation } from '../relation.ts'
import { draftPath, writeStoreFile } from './draft.ts'
import { Lease } from './lease.ts'
import { blobPath, recipePath, refPath, type StoreLayout, storeLayout } from './layout.ts'
import { cutSegments, formatRecipe, parseRecipe, type Recipe, type Segment } from './recipe.ts'
import { listReferrers, writeReferrer } from './referrers.ts'
import { sealFile, sealUnchanged } from './seal.ts'
import { verifiedBlob, verifiedRecipe } from './verified-pieces.ts'
import { listRefs, readRef, removeRef, type StoredRef, writeRef } from './refs.ts'
import { resumeBlob, resumedBytes, takeBlob } from './take-blob.ts'

/** A blob being written under a name of its own: it becomes visible by `commit`, whole, or never. */
export interface BlobDraft {
  readonly path: string
  commit(digest: Digest): Promise<void>
  discard(): Promise<void>
}

/** The local store: an end of `copyImage`, and the pool that builds write into. Safe for several processes. */
export interface Store extends ImageSource, ImageTarget {
  readonly layout: StoreLayout
  /** Takes bytes whose digest is not known before, or checks them against what was expected. */
  ingest(
    body: Readable,
    mediaType: string,
    ctx: Context,
    expected?: { readonly digest?: Digest; readonly size?: number },
  ): Promise<Descriptor>
  /** A document or another small thing that is in memory. */
  put(bytes: Uint8Array, mediaType: string): Promise<Descriptor>
  /** Room for a blob that the caller writes and hashes itself. */
  draft(): Promise<BlobDraft>
  /** A layer as the sum of parts of blobs; the caller has hashed it. */
  putRecipe(digest: Digest, recipe: Recipe): Promise<void>
  read(blob: Descriptor, maxBytes: number, ctx: Context): Promise<Buffer>
  /** Of a blob or layer that is known by its digest alone; undefined where it is not there. */
  sizeOf(digest: Digest): Promise<number | undefined>
  /** Keeps gc away from these for as long as this process runs, whether they are here already or come later. */
  keep(digests: readonly Digest[]): Promise<void>
  /** Ends that; the process's end does it too. */
  close(): void
  refs(): Promise<readonly StoredRef[]>
  untag(name: Reference): Promise<boolean>
  /** `write` does this by itself for what it is given; `ingest` and `put` do not. */
  addReferrer(relation: Relation): Promise<void>
}

export interface OpenStoreOptions {
  /** For processes that run for ever: after how long what they used is no longer kept from gc; never unless told. */
  readonly forgetMs?: number
}

/** Opens the store below `home`, making its folders. @throws FILE_ERROR where that cannot be. */
export async function openStore(home: string, options: OpenStoreOptions = {}): Promise<Store> {
  const layout = storeLayout(home)
  // Synchronous: they are there nearly always.
  await withFileErrors('opening the store', home, async () => {
    for (const folder of [
      layout.blobs,
      layout.recipes,
      layout.refs,
      layout.cache,
      layout.downloads,
      layout.temporary,
    ]) {
      mkdirSync(folder, { recursive: true })
    }
  })
  return new LocalStore(layout, options.forgetMs)
}

class LocalStore implements Store {
  readonly verifiesWrites = true
  readonly layout: StoreLayout
  readonly #lease: Lease
  #cleared: Promise<void> | undefined

  constructor(layout: StoreLayout, forgetMs?: number) {
    this.layout = layout
    this.#lease = new Lease(layout, forgetMs)
  }

  async keep(digests: readonly Digest[]): Promise<void> {
    await this.#lease.pin(digests)
  }

  close(): void {
    this.#lease.close()
  }

  // Reading works on a full disk too, where nothing can be written down.
  async #keepReading(digest: Digest): Promise<void> {
    await this.#lease.pin([digest]).catch((error: unknown) => {
      if (!isCloudimgError(error, 'DISK_FULL')) throw error
    })
  }

  async has(blob: Descriptor): Promise<boolean> {
    await this.keep([blob.digest])
    return (await this.#locate(blob)) !== undefined
  }

  async sizeOf(digest: Digest): Promise<number | undefined> {
    await this.#keepReading(digest)
    return (await statIfPresent(blobPath(this.layout, digest)))?.size ?? (await this.#recipe(digest))?.size
  }

  // A blob of another size than its descriptor's is no blob of ours: a torn disk, and it is written again.
  async #locate(blob: Descriptor): Promise<{ readonly file: string } | { readonly recipe: Recipe } | undefined> {
    const file = blobPath(this.layout, blob.digest)
    const stats = await statIfPresent(file)
    if (stats !== undefined && stats.size === blob.size) return { file }
    const recipe = await this.#recipe(blob.digest)
    if (recipe === undefined || recipe.size !== blob.size) return undefined
    for (const segment of recipe.segments) {
      if ('blob' in segment && (await statIfPresent(blobPath(this.layout, segment.blob))) === undefined)
        return undefined
    }
    return { recipe }
  }

  async #recipe(digest: Digest): Promise<Recipe | undefined> {
    const path = recipePath(this.layout, digest)
    const text = await readFileIfPresent(path)
    return text === undefined ? undefined : parseRecipe(text.toString('utf8'), path)
  }

  async open(blob: Descriptor, _ctx: Context, range?: ByteRange): Promise<Readable> {
    await this.#keepReading(blob.digest)
    const found = await this.#locate(blob)
    if (found === undefined) throw new CloudimgError('IMAGE_NOT_FOUND', `opening blob ${blob.digest}: not in the store`)
    const bytes =
      'file' in found
        ? readFileRange(found.file, range?.offset ?? 0, range?.length ?? blob.size - (range?.offset ?? 0))
        : this.#assemble(range === undefined ? found.recipe.segments : cutSegments(found.recipe.segments, range))
    return range === undefined ? verifying(streamOf(bytes), blob, `blob ${blob.digest}`) : streamOf(bytes)
  }

  async pieces(blob: Descriptor, ctx: Context): Promise<readonly Piece[]> {
    await this.#keepReading(blob.digest)
    const found = await this.#locate(blob)
    if (found === undefined) throw new CloudimgError('IMAGE_NOT_FOUND', `opening blob ${blob.digest}: not in the store`)
    return 'file' in found
      ? await verifiedBlob(this.layout, blob.digest, blob.size, ctx)
      : await verifiedRecipe(this.layout, blob.digest, found.recipe, ctx)
  }

  async *#assemble(segments: readonly Segment[]): AsyncGenerator<Buffer> {
    for (const segment of segments) {
      if ('inline' in segment) yield segment.inline
      else yield* readFileRange(blobPath(this.layout, segment.blob), segment.offset, segment.length)
    }
  }

  async write(
    expected: Descriptor,
    source: BlobSource,
    ctx: Context,
    progress?: (bytes: number) => void,
  ): Promise<Written> {
    const written = (await this.has(expected)) ? 'present' : await this.#bring(expected, source, ctx, progress)
    await this.#relate(expected, ctx)
    return written
  }

  // What comes from far away and is large is taken up where an earlier run stopped.
  async #bring(
    expected: Descriptor,
    source: BlobSource,
    ctx: Context,
    progress?: (bytes: number) => void,
  ): Promise<Written> {
    if (source.from !== undefined && expected.size >= resumedBytes)
      return await resumeBlob(this.layout, expected, source, ctx, progress)
    await this.#take(await source.open(), expected, ctx, progress)
    return 'written'
  }

  async ingest(
    body: Readable,
    mediaType: string,
    ctx: Context,
    expected: { readonly digest?: Digest; readonly size?: number } = {},
  ): Promise<Descriptor> {
    return { mediaType, ...(await this.#take(body, expected, ctx)) }
  }

  async #take(
    body: Readable,
    expected: Expected,
    ctx: Context,
    progress?: (bytes: number) => void,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    const draft = await this.draft()
    try {
      const taken = await takeBlob(body, draft.path, expected, { onProgress: progress }, ctx)
      await draft.commit(taken.digest)
      return taken
    } catch (error) {
      await draft.discard()
      ctx.signal.throwIfAborted()
      throw fileError('writing a blob below', this.layout.blobs, error)
    }
  }

  async put(bytes: Uint8Array, mediaType: string): Promise<Descriptor> {
    const digest = digestOf(bytes)
    await this.keep([digest])
    const path = blobPath(this.layout, digest)
    if ((await statIfPresent(path))?.size !== bytes.length) await writeStoreFile(this.layout, path, bytes)
    return { mediaType, digest, size: bytes.length }
  }

  async draft(): Promise<BlobDraft> {
    await (this.#cleared ??= clearAbandoned(this.layout.temporary))
    const path = draftPath(this.layout)
    await withFileErrors('making', path, async () => {
      const handle = await open(path, 'wx', 0o644)
      await handle.close()
    })
    return {
      path,
      commit: digest =>
        withFileErrors('keeping blob', path, () => this.#commit(path, digest)).catch(async (error: unknown) => {
          await rm(path, { force: true })
          throw error
        }),
      discard: () => rm(path, { force: true }),
    }
  }

  async #commit(path: string, digest: Digest): Promise<void> {
    await this.keep([digest])
    const handle = await open(path, 'r')
    try {
      await sealFile(handle, digest)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(path, blobPath(this.layout, digest))
    await syncDirectory(this.layout.blobs)
  }

  async putRecipe(digest: Digest, recipe: Recipe): Promise<void> {
    await this.keep([digest])
    const path = recipePath(this.layout, digest)
    await writeStoreFile(this.layout, path, formatRecipe(recipe))
    await withFileErrors('keeping', path, async () => {
      await sealUnchanged(path, digest, await stat(path, { bigint: true }))
    })
  }

  async read(blob: Descriptor, maxBytes: number, ctx: Context): Promise<Buffer> {
    if (blob.size > maxBytes)
      throw new CloudimgError(
        'SIZE_MISMATCH',
        `reading blob ${blob.digest}: ${blob.size} bytes, at most ${maxBytes} are taken`,
      )
    const parts: Buffer[] = []
    for await (const part of (await this.open(blob, ctx)) as AsyncIterable<Buffer>) parts.push(part)
    return Buffer.concat(parts)
  }

  async resolve(name: string): Promise<Descriptor | undefined> {
    const ref = parseReference(name)
    const target = await this.#target(ref)
    if (target === undefined) return undefined
    await this.#keepReading(target.digest)
    // A name that was removed, and its bytes with it, in between: look again.
    const still = await this.#target(ref)
    return still?.digest === target.digest ? target : await this.resolve(name)
  }

  async #target(ref: Reference): Promise<Descriptor | undefined> {
    if (ref.tag !== undefined) {
      const stored = await readRef(refPath(this.layout, ref))
      if (ref.digest === undefined || stored?.target.digest === ref.digest) return stored?.target
    }
    const { registry, repository } = ref
    const named = (await this.refs()).filter(stored => stored.target.digest === ref.digest)
    return named.find(stored => {
      const found = parseReference(stored.name)
      return found.registry === registry && found.repository === repository
    })?.target
  }

  async tag(name: string, target: Descriptor): Promise<void> {
    await this.keep([target.digest])
    const ref = parseReference(name)
    const path = refPath(this.layout, ref)
    // A name that stands for it already keeps the time at which it was set: building again without a change writes nothing.
    const present = (await readRef(path).catch(() => undefined))?.target
    if (present?.digest === target.digest && present.mediaType === target.mediaType) return
    await writeRef(this.layout, path, formatReference(ref), target)
  }

  async untag(ref: Reference): Promise<boolean> {
    return removeRef(refPath(this.layout, ref))
  }

  refs(): Promise<readonly StoredRef[]> {
    return listRefs(this.layout)
  }

  async referrers(subject: Digest): Promise<readonly Descriptor[]> {
    const listed = await listReferrers(this.layout, subject)
    const present = await Promise.all(
      listed.map(async referrer => {
        await this.#keepReading(referrer.digest)
        return (await this.#locate(referrer)) !== undefined
      }),
    )
    return listed.filter((_, i) => present[i])
  }

  async addReferrer(relation: Relation): Promise<void> {
    await this.keep([relation.referrer.digest])
    await writeReferrer(this.layout, relation)
  }

  // Also for one that is here already: an earlier run may have stopped between the document and its entry.
  async #relate(document: Descriptor, ctx: Context): Promise<void> {
    if (!isIndexType(document.mediaType) && !isManifestType(document.mediaType)) return
    const relation = readRelation(document, await this.read(document, limits.manifestBytes, ctx))
    if (relation !== undefined) await this.addReferrer(relation)
  }
}
