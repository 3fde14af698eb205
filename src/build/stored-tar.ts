import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { streamOf } from '../io/read-file.ts'
import { type Descriptor, layerCompression, mediaTypes } from '../oci/descriptor.ts'
import { openLayerTar } from '../oci/layer-reader.ts'
import type { LeafNode, MergedTree, TreeNode } from '../oci/merged-tree.ts'
import type { Store } from '../oci/store/store.ts'
import { BuildTree, type StoredTar, type TreeEntry } from './tree.ts'

/** A part of the plain tar. A packed one is unpacked into the pool once, under its diff_id, and read there ever after. */
export async function* readStoredTar(
  store: Store,
  tar: StoredTar,
  range: { readonly offset: number; readonly length: number },
  ctx: Context,
): AsyncGenerator<Buffer> {
  if (range.length === 0) return
  yield* (await store.open(await plainTar(store, tar, ctx), ctx, range)) as AsyncIterable<Buffer>
}

// Layers are made side by side: what two of them need is unpacked once.
const underWay = new WeakMap<Store, Map<Digest, Promise<Descriptor>>>()

function plainTar(store: Store, tar: StoredTar, ctx: Context): Promise<Descriptor> {
  const plain = { mediaType: mediaTypes.layer, digest: tar.diffId }
  if (layerCompression(tar.blob.mediaType) === 'none') return Promise.resolve({ ...plain, size: tar.blob.size })
  const flights = underWay.get(store) ?? new Map<Digest, Promise<Descriptor>>()
  underWay.set(store, flights)
  const joined = flights.get(tar.diffId)
  if (joined !== undefined) return joined
  const flight = unpacked(store, tar, ctx).finally(() => flights.delete(tar.diffId))
  flights.set(tar.diffId, flight)
  return flight
}

/** @throws DIGEST_MISMATCH where the layer is not what the image's config says. */
async function unpacked(store: Store, tar: StoredTar, ctx: Context): Promise<Descriptor> {
  const size = await store.sizeOf(tar.diffId)
  if (size !== undefined) return { mediaType: mediaTypes.layer, digest: tar.diffId, size }
  const plain = streamOf(await openLayerTar(store, tar.blob, ctx))
  return await store.ingest(plain, mediaTypes.layer, ctx, { digest: tar.diffId })
}

/** What merged tars make, with where each file's bytes stand. `tars` in the order in which they were merged. */
export function treeOfTars(merged: MergedTree, tars: readonly StoredTar[]): BuildTree {
  const tree = new BuildTree()
  const firstOf = new Map<TreeNode, string>()
  const linked = new Map<TreeNode, string>()
  for (const [path, node] of merged.entries()) {
    const first = firstOf.get(node)
    if (first === undefined) firstOf.set(node, path)
    else linked.set(node, `${first} of ${tars.at(-1)?.diffId ?? ''}`)
  }
  for (const [path, node] of merged.entries()) {
    const entry = treeEntry(path, node, tars)
    const links = linked.get(node)
    tree.put(entry.type === 'file' && links !== undefined ? { ...entry, links } : entry)
  }
  return tree
}

export function treeEntry(path: string, node: TreeNode, tars: readonly StoredTar[]): TreeEntry {
  const { mode, uid, gid, xattrs } = node
  const attributes = { path, mode, uid, gid, ...(xattrs === undefined ? {} : { xattrs }) }
  switch (node.type) {
    case 'directory':
      return { ...attributes, type: 'directory' }
    case 'symlink':
      return { ...attributes, type: 'symlink', linkTarget: node.linkTarget ?? '' }
    case 'file':
      return { ...attributes, type: 'file', size: node.size, content: contentOf(node, tars) }
    case 'character-device':
    case 'block-device':
    case 'fifo': {
      const { deviceMajor, deviceMinor } = node
      const device = deviceMajor === undefined ? {} : { deviceMajor, deviceMinor: deviceMinor ?? 0 }
      return { ...attributes, type: node.type, ...device }
    }
  }
}

function contentOf({ place }: LeafNode, tars: readonly StoredTar[]) {
  return { from: 'tar', tar: tars[place.layer]!, offset: place.offset } as const
}
