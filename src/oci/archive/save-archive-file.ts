import { createWriteStream } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Context, withTask } from '../../core/context.ts'
import { each } from '../../core/each.ts'
import { fileError, temporaryBeside } from '../../io/files.ts'
import { type Piece, writeAt, writePieces } from '../../io/pieces.ts'
import { tarEnd, tarPadding } from '../../io/tar.ts'
import type { BlobReader, ImageSource } from '../ends.ts'
import { header, type KnownEntry, lengthOf, sizeOf } from './archive-entry.ts'
import { unpackPlainLayer, type PlainLayer } from './plain-layer.ts'
import { type ArchiveRoot, savingTitle } from './plan-archive.ts'
import { type PreparedArchive, prepareArchive, saveArchive, type SaveOptions } from './save-archive.ts'

/**
 * The bytes of `saveArchive` in a file, which appears under its name when it is whole. From a store of this machine they are
 * copied by positioned reads and writes, blobs and unpacked layers at the same time.
 * @throws what `saveArchive` throws.
 */
export async function saveArchiveFile(
  source: ImageSource,
  roots: readonly ArchiveRoot[],
  output: string,
  options: SaveOptions,
  ctx: Context,
): Promise<void> {
  const path = resolve(output)
  const temporary = temporaryBeside(path)
  try {
    const handle = await open(temporary, 'wx')
    try {
      if (source.pieces === undefined) {
        await saveArchive(source, roots, createWriteStream(temporary, { flags: 'r+' }), options, ctx)
      } else await writeArchive(savingTitle(roots), await prepareArchive(source, roots, options, ctx), handle, ctx)
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    ctx.signal.throwIfAborted()
    throw fileError('writing', path, error)
  } finally {
    await rm(temporary, { force: true })
  }
}

async function writeArchive(
  title: string,
  { reader, entries }: PreparedArchive,
  to: FileHandle,
  ctx: Context,
): Promise<void> {
  await withTask(ctx, title, async task => {
    const known = entries.known.reduce((sum, entry) => sum + lengthOf(entry), 0)
    const packed = entries.plain.reduce((sum, { layer }) => sum + layer.size, 0)
    let done = 0
    const onBytes = (count: number): void => task.progress((done += count), Math.max(done, known + packed))
    const stop = new AbortController()
    const part: Part = { reader, to, onBytes, ctx: { ...ctx, signal: AbortSignal.any([ctx.signal, stop.signal]) } }
    const working = [writeKnown(part, entries.known), writePlain(part, entries.plain, known)] as const
    for (const work of working) work.catch((error: unknown) => stop.abort(error))
    const results = await Promise.allSettled(working)
    if (stop.signal.aborted) throw stop.signal.reason
    const [, end] = results
    if (end.status === 'fulfilled') await writeAt(to, tarEnd, end.value)
  })
}

interface Part {
  readonly reader: BlobReader
  readonly to: FileHandle
  readonly onBytes: (count: number) => void
  readonly ctx: Context
}

async function writeKnown({ reader, to, onBytes, ctx }: Part, entries: readonly KnownEntry[]): Promise<void> {
  const pieces = await each(entries, 2, async ({ header: head, content }): Promise<readonly Piece[]> => {
    const bytes = Buffer.isBuffer(content) ? [content] : await reader.pieces!(content, ctx)
    return [head, ...bytes, tarPadding(sizeOf(content))]
  })
  await writePieces(joined(pieces.flat()), to, 0, { onBytes, signal: ctx.signal })
}

/** Bytes in memory that follow each other are written by one call. */
function joined(pieces: readonly Piece[]): readonly Piece[] {
  const out: Piece[] = []
  let run: Buffer[] = []
  const flush = (): void => {
    if (run.length > 0) out.push(Buffer.concat(run))
    run = []
  }
  for (const piece of pieces) {
    if (Buffer.isBuffer(piece)) run.push(piece)
    else {
      flush()
      out.push(piece)
    }
  }
  flush()
  return out
}

/** The content first and the header, which says its size, after it: each layer is unpacked once. Returns where they end. */
async function writePlain(part: Part, layers: readonly PlainLayer[], start: number): Promise<number> {
  let at = start
  for (const plain of layers) {
    let head = header('file', plain.path, 0)
    for (;;) {
      const size = await writeUnpacked(part, plain, at + head.length)
      // Beyond 8 GiB a header has more blocks than one that says less, and the content belongs behind them.
      const right = header('file', plain.path, size)
      const fits = right.length === head.length
      head = right
      if (!fits) continue
      await writeAt(part.to, head, at)
      await writeAt(part.to, tarPadding(size), at + head.length + size)
      at += head.length + size + tarPadding(size).length
      break
    }
  }
  return at
}

async function writeUnpacked({ reader, to, onBytes, ctx }: Part, plain: PlainLayer, start: number): Promise<number> {
  let size = 0
  let writing: Promise<void> = Promise.resolve()
  try {
    for await (const chunk of unpackPlainLayer(reader, plain, ctx)) {
      ctx.signal.throwIfAborted()
      await writing
      writing = writeAt(to, chunk, start + size)
      writing.catch(() => undefined)
      size += chunk.length
      onBytes(chunk.length)
    }
  } finally {
    await writing
  }
  return size
}
