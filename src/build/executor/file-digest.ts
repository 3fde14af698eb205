import { createHash } from 'node:crypto'
import type { Context } from '../../core/context.ts'
import { type Digest, digestOf } from '../../core/digest.ts'
import type { TreeFile } from '../tree.ts'
import type { ReadableTree } from './executor.ts'

const digests = new WeakMap<TreeFile['content'], Digest>()

/** sha256 of a file of a tree; read once. */
export async function fileDigest({ read }: ReadableTree, file: TreeFile, ctx: Context): Promise<Digest> {
  const { content } = file
  if (content.from === 'pool') return content.digest
  if (content.from === 'memory') return digestOf(content.bytes)
  const known = digests.get(content)
  if (known !== undefined) return known
  const hash = createHash('sha256')
  for await (const part of read(file, ctx)) hash.update(part)
  const digest: Digest = `sha256:${hash.digest('hex')}`
  digests.set(content, digest)
  return digest
}
