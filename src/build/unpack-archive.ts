import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { decompress, sniffCompression } from '../io/compression.ts'
import { streamOf } from '../io/read-file.ts'
import { isTarHeader, readTar, tarBlock } from '../io/tar.ts'
import { type Descriptor, mediaTypes } from '../oci/descriptor.ts'
import { boundedUnpacking } from '../oci/layer-reader.ts'
import { MergedTree } from '../oci/merged-tree.ts'
import type { Store } from '../oci/store/store.ts'
import { treeOfTars } from './stored-tar.ts'
import type { BuildTree, TreeFile } from './tree.ts'
import { readContent, readTreeSample } from './tree-content.ts'

/**
 * What is in a tar archive, plain or packed; undefined for any other file. The plain tar is kept in the pool, where
 * layers read it. @throws UNSAFE_ARCHIVE for paths that lead outside and for bombs, ARCHIVE_INVALID, UNSUPPORTED.
 */
export async function unpackArchive(
  store: Store,
  file: TreeFile,
  name: string,
  ctx: Context,
): Promise<BuildTree | undefined> {
  const tar = await ingestArchive(store, file, name, ctx)
  return tar === undefined ? undefined : await treeOf(store, tar, `archive "${name}"`, ctx)
}

/** The archive as a plain tar in the pool; undefined for a file that is none. @throws UNSAFE_ARCHIVE, ARCHIVE_INVALID, UNSUPPORTED. */
export async function ingestArchive(
  store: Store,
  file: TreeFile,
  name: string,
  ctx: Context,
): Promise<Descriptor | undefined> {
  const what = `archive "${name}"`
  const compression = sniffCompression(await readTreeSample(store, file, { offset: 0, length: 6 }, ctx))
  const packed = readContent(store, file, { offset: 0, length: file.size }, ctx)
  const plain = boundedUnpacking(decompress(packed, compression, what), file.size, what)
  const { head, body } = await peek(plain, tarBlock)
  if (isTarHeader(head)) return await store.ingest(streamOf(body), mediaTypes.layer, ctx)
  await plain.return(undefined)
  return undefined
}

async function treeOf(store: Store, blob: Descriptor, what: string, ctx: Context): Promise<BuildTree> {
  const tree = new MergedTree()
  tree.beginLayer()
  for await (const entry of readTar((await store.open(blob, ctx)) as AsyncIterable<Buffer>, what)) {
    if (/(?:^|\/)\.wh\.[^/]*\/?$/.test(entry.path)) {
      throw new CloudimgError(
        'CONTEXT_INVALID',
        `reading ${what}: "${entry.path}": names that begin with ".wh." mean deletion in image layers`,
        { hint: 'pack the archive without it' },
      )
    }
    tree.add(entry, what)
  }
  return treeOfTars(tree, [{ blob, diffId: blob.digest }])
}

/** The first bytes, and all bytes again. */
async function peek(
  source: AsyncGenerator<Buffer>,
  bytes: number,
): Promise<{ readonly head: Buffer; readonly body: AsyncGenerator<Buffer> }> {
  let head: Buffer = Buffer.alloc(0)
  while (head.length < bytes) {
    const next = await source.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  const body = async function* (): AsyncGenerator<Buffer> {
    yield head
    yield* source
  }
  return { head: head.subarray(0, bytes), body: body() }
}
