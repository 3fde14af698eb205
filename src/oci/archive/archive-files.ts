import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { open, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { fileError, statIfPresent, withFileErrors } from '../../io/files.ts'
import { decompress, detectCompression, sniffCompression } from '../../io/compression.ts'
import { limits } from '../../io/limits.ts'
import { cutPieces, type Extent, readPieces } from '../../io/pieces.ts'
import { ownIdentity } from '../../io/process-identity.ts'
import { readFileRange, streamOf } from '../../io/read-file.ts'
import { SeekingSource } from '../../io/seeking-source.ts'
import { readTar } from '../../io/tar.ts'
import { deltaFile } from './delta.ts'
import { extentsOf, type FoundPart } from './parts.ts'

/** A file inside an archive: stretches of files on disk, several where the archive is in parts. */
export interface Stretch {
  readonly extents: readonly Extent[]
  readonly size: number
}

/** What an archive is read from: a file or layout directory, a stream, or the parts of one file. */
export type ArchiveInput = string | Readable | readonly FoundPart[]

/** What is in an archive or a layout directory, by path; links are followed already. */
export interface ArchiveFiles {
  /** For messages. */
  readonly what: string
  readonly files: ReadonlyMap<string, Stretch>
  /** Removes what was unpacked to disk, if anything was. */
  close(): Promise<void>
}

/**
 * Indexes a tar in one pass, or a directory. A compressed archive, and one that comes as a stream, is written to a
 * temporary file first: its blobs are read more than once and out of order.
 * @throws ARCHIVE_INVALID, UNSAFE_ARCHIVE, UNSUPPORTED, FILE_ERROR, DISK_FULL.
 */
export async function openArchiveFiles(
  input: ArchiveInput,
  temporary: string | undefined,
  ctx: Context,
): Promise<ArchiveFiles> {
  if (typeof input !== 'string' && 'pipe' in input) return await spool(input, 'standard input', temporary, ctx)
  if (typeof input === 'string') {
    const stats = await withFileErrors('reading', input, () => stat(input))
    if (stats.isDirectory())
      return { what: `"${input}"`, files: await listDirectory(input), close: async () => undefined }
    return await openTar(`"${input}"`, [{ file: input, offset: 0, length: stats.size }], stats.isFile(), temporary, ctx)
  }
  return await openTar(`"${input[0]!.file}" and its other parts`, extentsOf(input), true, temporary, ctx)
}

async function openTar(
  what: string,
  extents: readonly Extent[],
  seekable: boolean,
  temporary: string | undefined,
  ctx: Context,
): Promise<ArchiveFiles> {
  // A pipe by name, `<(…)` of a shell: it can be read once.
  if (!seekable) return await spool(streamOf(readFileRange(extents[0]!.file)), what, temporary, ctx)
  if (sniffCompression(await readHead(extents[0]!.file)) !== 'none')
    return await spool(streamOf(readPieces(extents)), what, temporary, ctx)
  return { what, files: await indexTar(extents, what, ctx), close: async () => undefined }
}

async function readHead(path: string): Promise<Buffer> {
  const handle = await withFileErrors('reading', path, () => open(path, 'r'))
  try {
    const head = Buffer.alloc(6)
    const { bytesRead } = await handle.read(head, 0, head.length, 0)
    return head.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

async function spool(
  input: Readable,
  what: string,
  temporary: string | undefined,
  ctx: Context,
): Promise<ArchiveFiles> {
  // Named as the store names its drafts, so that what a killed program leaves there is cleared with them.
  const file = join(temporary ?? tmpdir(), `${ownIdentity()}.load-${randomBytes(8).toString('hex')}`)
  const close = async (): Promise<void> => await rm(file, { force: true })
  try {
    await pipeline(
      streamOf(unpacked(input, what)),
      createWriteStream(file, { flags: 'wx', mode: 0o600, highWaterMark: MiB }),
      {
        signal: ctx.signal,
      },
    )
    const extents = [{ file, offset: 0, length: (await stat(file)).size }]
    return { what, files: await indexTar(extents, what, ctx), close }
  } catch (error) {
    input.destroy()
    await close()
    ctx.signal.throwIfAborted()
    throw fileError('unpacking the archive to', file, error)
  }
}

async function* unpacked(input: Readable, what: string): AsyncGenerator<Buffer> {
  let read = 0
  let written = 0
  const counted = async function* (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      read += chunk.length
      yield chunk
    }
  }
  const { compression, body } = await detectCompression(counted(input))
  for await (const chunk of decompress(body, compression, what)) {
    written += chunk.length
    const allowed = Math.min(limits.archiveBytes, limits.decompressionFreeBytes + read * limits.decompressionRatio)
    if (written > allowed) throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: it unpacks to too many bytes`)
    yield chunk
  }
}

async function listDirectory(path: string): Promise<ReadonlyMap<string, Stretch>> {
  return await withFileErrors('listing', path, async () => {
    const files = new Map<string, Stretch>()
    const names = ['oci-layout', 'index.json', 'manifest.json', deltaFile]
    if ((await statIfPresent(join(path, 'blobs/sha256'))) !== undefined)
      names.push(...(await readdir(join(path, 'blobs/sha256'))).map(name => `blobs/sha256/${name}`))
    for (const name of names) {
      const stats = await statIfPresent(join(path, name))
      if (stats?.isFile() === true) {
        const extent = { file: join(path, name), offset: 0, length: stats.size }
        files.set(name, { extents: [extent], size: stats.size })
      }
    }
    return files
  })
}

async function indexTar(extents: readonly Extent[], what: string, ctx: Context): Promise<ReadonlyMap<string, Stretch>> {
  const files = new Map<string, Stretch>()
  const links = new Map<string, string>()
  const source = new SeekingSource(extents)
  try {
    for await (const entry of readTar(source, what)) {
      ctx.signal.throwIfAborted()
      const path = normalise(entry.path)
      if (path === undefined)
        throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: the path "${entry.path}" leads outside`)
      if (files.has(path) && documents.has(path))
        throw new CloudimgError('UNSAFE_ARCHIVE', `reading ${what}: "${path}" is in it twice`)
      if (entry.type === 'file') {
        const at = cutPieces(extents, entry.contentOffset, entry.size) as Extent[]
        files.set(path, { extents: at, size: entry.size })
      }
      if (entry.type === 'hardlink') links.set(path, normalise(entry.linkTarget ?? '') ?? '')
      // docker's older archives share a layer by a link to the other one's file.
      if (entry.type === 'symlink') links.set(path, posix.join(posix.dirname(path), entry.linkTarget ?? ''))
    }
  } finally {
    await source.return()
  }
  for (const path of links.keys()) {
    const target = follow(path, links, files)
    if (target !== undefined && !files.has(path)) files.set(path, target)
  }
  return files
}

/** Read by others too: two of a name are two archives, depending on who reads. */
const documents: ReadonlySet<string> = new Set(['index.json', 'manifest.json', 'oci-layout'])

/** Undefined for a path that leads outside. Nothing is unpacked here; but who wrote that meant no good. */
function normalise(path: string): string | undefined {
  const plain = posix.normalize(path).replace(/\/$/, '')
  return plain.startsWith('../') || plain === '..' ? undefined : plain.replace(/^\/+/, '')
}

function follow(
  path: string,
  links: ReadonlyMap<string, string>,
  files: ReadonlyMap<string, Stretch>,
): Stretch | undefined {
  let at = path
  for (let hops = 0; hops < 16; hops++) {
    const next = links.get(at)
    if (next === undefined) return files.get(at)
    at = next
  }
  return undefined
}

/** A whole small file of the archive. @throws ARCHIVE_INVALID beyond `maxBytes`. */
export async function readStretch(
  { what }: ArchiveFiles,
  path: string,
  stretch: Stretch,
  maxBytes: number,
): Promise<Buffer> {
  if (stretch.size > maxBytes)
    throw new CloudimgError(
      'ARCHIVE_INVALID',
      `reading ${what}: "${path}" has ${stretch.size} bytes, at most ${maxBytes} are taken`,
    )
  const parts: Buffer[] = []
  for await (const part of readPieces(stretch.extents)) parts.push(part)
  return Buffer.concat(parts)
}
