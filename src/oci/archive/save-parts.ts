import { createHash } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { type Context, withTask } from '../../core/context.ts'
import { fileError, statIfPresent, temporaryBeside, writeFileAtomic } from '../../io/files.ts'
import { writeAt } from '../../io/pieces.ts'
import type { ImageSource } from '../ends.ts'
import { type Part, partName, type PartsList, partsListPath, readPartsList } from './parts.ts'
import { type ArchiveRoot, savingTitle } from './plan-archive.ts'
import { archiveChunks, prepareArchive, type SaveOptions } from './save-archive.ts'

/**
 * The bytes of `saveArchive` in files of at most `partBytes`: `OUTPUT.001` and so on, and `OUTPUT.parts.json` with the size
 * and sha256 of each. `cat OUTPUT.0*` is the whole archive again. The files get their names when all of them are complete, the
 * list last; parts of an earlier, longer archive of that name are removed. @throws what `saveArchive` throws.
 */
export async function saveParts(
  source: ImageSource,
  roots: readonly ArchiveRoot[],
  output: string,
  partBytes: number,
  options: SaveOptions,
  ctx: Context,
): Promise<PartsList> {
  const path = resolve(output)
  const writer = new PartWriter(path, partBytes)
  try {
    const archive = await prepareArchive(source, roots, options, ctx)
    await withTask(ctx, savingTitle(roots), async task => {
      for await (const chunk of archiveChunks(archive, ctx)) {
        ctx.signal.throwIfAborted()
        await writer.write(chunk)
        task.progress(writer.size)
      }
    })
    await writer.end()
    return await publish(path, writer)
  } catch (error) {
    await writer.discard()
    ctx.signal.throwIfAborted()
    throw fileError('writing', path, error)
  }
}

async function publish(path: string, writer: PartWriter): Promise<PartsList> {
  const list: PartsList = { schemaVersion: 1, archive: basename(path), size: writer.size, parts: writer.parts }
  const listPath = partsListPath(path)
  const before =
    (await statIfPresent(listPath)) === undefined
      ? []
      : await readPartsList(listPath).then(
          old => old.parts,
          () => [],
        )
  // No list that promises other parts than there are.
  await rm(listPath, { force: true })
  for (const [i, temporary] of writer.temporaries.entries()) await rename(temporary, partName(path, i))
  for (const { name } of before)
    if (!list.parts.some(part => part.name === name)) await rm(join(dirname(path), name), { force: true })
  await writeFileAtomic(listPath, `${JSON.stringify(list, undefined, 2)}\n`)
  return list
}

class PartWriter {
  readonly #path: string
  readonly #partBytes: number
  readonly parts: Part[] = []
  readonly temporaries: string[] = []
  #handle: FileHandle | undefined
  #hash = createHash('sha256')
  #at = 0
  #writing: Promise<void> = Promise.resolve()
  size = 0

  constructor(path: string, partBytes: number) {
    this.#path = path
    this.#partBytes = partBytes
  }

  async write(chunk: Buffer): Promise<void> {
    for (let from = 0; from < chunk.length;) {
      const handle = (this.#handle ??= await this.#begin())
      const bytes = chunk.subarray(from, from + this.#partBytes - this.#at)
      await this.#writing
      // Hashed while the disk takes it.
      this.#writing = writeAt(handle, bytes, this.#at)
      this.#writing.catch(() => undefined)
      this.#hash.update(bytes)
      this.#at += bytes.length
      this.size += bytes.length
      from += bytes.length
      if (this.#at === this.#partBytes) await this.end()
    }
  }

  async #begin(): Promise<FileHandle> {
    const temporary = temporaryBeside(partName(this.#path, this.parts.length))
    const handle = await open(temporary, 'wx')
    this.temporaries.push(temporary)
    return handle
  }

  /** Closes the part that is under way. */
  async end(): Promise<void> {
    if (this.#handle === undefined) return
    const handle = this.#handle
    this.#handle = undefined
    try {
      await this.#writing
    } finally {
      await handle.close()
    }
    const name = basename(partName(this.#path, this.parts.length))
    this.parts.push({ name, size: this.#at, sha256: this.#hash.digest('hex') })
    this.#hash = createHash('sha256')
    this.#at = 0
  }

  async discard(): Promise<void> {
    await this.#handle?.close().catch(() => undefined)
    for (const temporary of this.temporaries) await rm(temporary, { force: true })
  }
}
