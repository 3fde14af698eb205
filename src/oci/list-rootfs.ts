import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { streamOf } from '../io/read-file.ts'
import { type Descriptor, layerCompression } from './descriptor.ts'
import type { BlobReader } from './ends.ts'
import { CompressedLayer } from './layer-cursor.ts'
import { mergeLayers, readLayer } from './layer-reader.ts'
import type { LeafNode } from './merged-tree.ts'
import type { RootfsFile } from './rootfs-file.ts'

/**
 * An image's tree as hosts get it: every directory, link and file with its sha256, in byte order of paths.
 * Costs two passes over the layers: one for the headers, one for the files that survive.
 * @throws IMAGE_INVALID for devices and pipes, which have no place in a cluster's rootfs.
 */
export async function listRootfs(
  source: BlobReader,
  layers: readonly Descriptor[],
  ctx: Context,
): Promise<readonly RootfsFile[]> {
  const tree = await mergeLayers(source, layers, ctx)
  const digests = await digestLeaves(
    source,
    layers,
    [...tree.entries()].map(([, node]) => node).filter((node): node is LeafNode => node.type === 'file'),
    ctx,
  )
  const openLeaf = leafOpener(source, layers)
  const files: RootfsFile[] = []
  for (const [path, node] of tree.entries()) {
    if (node.type === 'directory') files.push({ type: 'directory', path, mode: node.mode })
    else if (node.type === 'symlink') files.push({ type: 'symlink', path, target: node.linkTarget ?? '' })
    else if (node.type === 'file') {
      files.push({
        type: 'file',
        path,
        mode: node.mode,
        size: node.size,
        digest: digests.get(node)!,
        open: ctx => openLeaf(node, ctx),
      })
    } else
      throw new CloudimgError(
        'IMAGE_INVALID',
        `reading the image's tree: "${path}" is a ${node.type}, which hosts do not get`,
      )
  }
  return files
}

async function digestLeaves(
  source: BlobReader,
  layers: readonly Descriptor[],
  leaves: readonly LeafNode[],
  ctx: Context,
): Promise<Map<LeafNode, `sha256:${string}`>> {
  const byPlace = new Map(leaves.map(leaf => [`${leaf.place.layer} ${leaf.place.entry}`, leaf]))
  const digests = new Map<LeafNode, `sha256:${string}`>()
  for (const [number, layer] of layers.entries()) {
    let index = 0
    for await (const entry of await readLayer(source, layer, ctx)) {
      const leaf = byPlace.get(`${number} ${index++}`)
      if (leaf === undefined) continue
      const hash = createHash('sha256')
      for await (const chunk of entry.content()) hash.update(chunk)
      digests.set(leaf, `sha256:${hash.digest('hex')}`)
    }
  }
  return digests
}

/** A plain layer is read from the byte on, a compressed one through what is unpacked of it already. */
export function leafOpener(
  source: BlobReader,
  layers: readonly Descriptor[],
): (leaf: LeafNode, ctx: Context) => Promise<Readable> {
  const compressed = new Map<number, CompressedLayer>()
  return async ({ place, size }, ctx) => {
    const layer = layers[place.layer]!
    if (layerCompression(layer.mediaType) === 'none')
      return await source.open(layer, ctx, { offset: place.offset, length: size })
    const reader = compressed.get(place.layer) ?? new CompressedLayer(source, layer)
    compressed.set(place.layer, reader)
    return streamOf(reader.read(place.offset, size, ctx))
  }
}
