import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import type { Descriptor } from './descriptor.ts'
import type { BlobReader } from './ends.ts'
import { readLayer } from './layer-reader.ts'

/**
 * The content of one file at the tree's top, from the topmost layer that has it: layers below are not read.
 * Undefined where no layer has it. @throws SIZE_MISMATCH beyond `maxBytes`.
 */
export async function readImageFile(
  source: BlobReader,
  layers: readonly Descriptor[],
  path: string,
  maxBytes: number,
  ctx: Context,
): Promise<Buffer | undefined> {
  for (const layer of layers.toReversed()) {
    for await (const entry of await readLayer(source, layer, ctx)) {
      if (entry.type !== 'file' || entry.path.replace(/^\.?\//, '') !== path) continue
      if (entry.size > maxBytes)
        throw new CloudimgError(
          'SIZE_MISMATCH',
          `reading "/${path}": ${entry.size} bytes, at most ${maxBytes} are taken`,
        )
      const parts: Buffer[] = []
      for await (const part of entry.content()) parts.push(part)
      return Buffer.concat(parts)
    }
  }
  return undefined
}
