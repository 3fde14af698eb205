import { open } from 'node:fs/promises'
import { MiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import { digestOf } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { withFileErrors } from '../io/files.ts'
import { readFileRange, streamOf } from '../io/read-file.ts'
import { blobPath } from '../oci/store/layout.ts'
import type { Store } from '../oci/store/store.ts'
import { readStoredTar } from './stored-tar.ts'
import type { TreeFile } from './tree.ts'

/** What text files in a tree may be as large as: image lists, manifests, passwd. */
const maxText = 16 * MiB

/** A part of a file's bytes, wherever they are. Less than `length` where a file of the context has shrunk. */
export async function* readContent(
  store: Store,
  file: TreeFile,
  range: { readonly offset: number; readonly length: number },
  ctx: Context,
): AsyncGenerator<Buffer> {
  const { content } = file
  switch (content.from) {
    case 'memory':
      yield content.bytes.subarray(range.offset, range.offset + range.length)
      return
    case 'pool':
      yield* readFileRange(blobPath(store.layout, content.digest), range.offset, range.length)
      return
    case 'tar':
      yield* readStoredTar(store, content.tar, { ...range, offset: content.offset + range.offset }, ctx)
      return
    case 'context':
      yield* readSome(content.path, range)
  }
}

async function* readSome(
  path: string,
  { offset, length }: { readonly offset: number; readonly length: number },
): AsyncGenerator<Buffer> {
  const buffer = Buffer.alloc(length)
  const bytesRead = await withFileErrors('reading', path, async () => {
    const handle = await open(path, 'r')
    try {
      return (await handle.read(buffer, 0, length, offset)).bytesRead
    } finally {
      await handle.close()
    }
  })
  yield buffer.subarray(0, bytesRead)
}

async function readPart(
  store: Store,
  file: TreeFile,
  range: { readonly offset: number; readonly length: number },
  ctx: Context,
): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of readContent(store, file, range, ctx)) parts.push(part)
  return Buffer.concat(parts)
}

/** @throws SIZE_MISMATCH for more than 16 MiB. */
export async function readTreeText(store: Store, file: TreeFile, ctx: Context): Promise<string> {
  return (await readTreeBytes(store, file, ctx)).toString('utf8')
}

/** @throws SIZE_MISMATCH for more than 16 MiB. */
export async function readTreeBytes(store: Store, file: TreeFile, ctx: Context): Promise<Buffer> {
  if (file.size > maxText)
    throw new CloudimgError(
      'SIZE_MISMATCH',
      `reading "/${file.path}": ${file.size} bytes, at most ${maxText} are taken for text`,
    )
  return await readPart(store, file, { offset: 0, length: file.size }, ctx)
}

/** Up to that many bytes from `offset` on: magic numbers, samples. */
export async function readTreeSample(
  store: Store,
  file: TreeFile,
  range: { readonly offset: number; readonly length: number },
  ctx: Context,
): Promise<Buffer> {
  const length = Math.max(0, Math.min(range.length, file.size - range.offset))
  return await readPart(store, file, { offset: range.offset, length }, ctx)
}

/**
 * A file's bytes as a file of this machine, for those that need a path. What lies inside a tar becomes a blob of the
 * pool. Undefined for what is only in memory.
 */
export async function localPath(store: Store, file: TreeFile, ctx: Context): Promise<string | undefined> {
  switch (file.content.from) {
    case 'context':
      return file.content.path
    case 'pool':
      return blobPath(store.layout, file.content.digest)
    case 'memory':
      return undefined
    case 'tar': {
      const bytes = streamOf(readContent(store, file, { offset: 0, length: file.size }, ctx))
      return blobPath(store.layout, (await store.ingest(bytes, 'application/octet-stream', ctx)).digest)
    }
  }
}

/** What a file's bytes are known by: it changes whenever they may have; `racy` where they may change without it. */
export function contentIdentity({ content, size }: TreeFile): { readonly identity: string; readonly racy: boolean } {
  switch (content.from) {
    case 'context':
      return { identity: content.identity, racy: content.racy }
    case 'pool':
      return { identity: content.digest, racy: false }
    case 'tar':
      return { identity: `${content.tar.diffId} ${content.offset} ${size}`, racy: false }
    case 'memory':
      return { identity: digestOf(content.bytes), racy: false }
  }
}
