import { buffer } from 'node:stream/consumers'
import { MiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { BlobReader } from '../oci/ends.ts'
import { mergeLayers } from '../oci/layer-reader.ts'
import { leafOpener } from '../oci/list-rootfs.ts'
import type { LeafNode } from '../oci/merged-tree.ts'
import type { WorkloadTree } from './workload-tree.ts'

const maxText = 64 * MiB

/** One platform's image as a rootfs. Its headers are read now, files when they are asked for. */
export async function imageTree(
  source: BlobReader,
  layers: readonly Descriptor[],
  ctx: Context,
): Promise<WorkloadTree> {
  const merged = await mergeLayers(source, layers, ctx)
  const leaves = new Map<string, LeafNode>()
  for (const [path, node] of merged.entries()) if (node.type === 'file') leaves.set(path, node)
  const open = leafOpener(source, layers)
  return {
    files: directory =>
      [...leaves].filter(([path]) => path.startsWith(`${directory}/`)).map(([path, { size }]) => ({ path, size })),
    read: async ({ path, size }) => {
      if (size > maxText)
        throw new CloudimgError('SIZE_MISMATCH', `reading "/${path}": ${size} bytes, at most ${maxText} are taken`)
      return await buffer(await open(leaves.get(path)!, ctx))
    },
  }
}
