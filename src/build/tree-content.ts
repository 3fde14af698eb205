import { open, readFile } from 'node:fs/promises'
import { MiB } from '../core/bytes.ts'
import { CloudimgError } from '../core/error.ts'
import { withFileErrors } from '../io/files.ts'
import { blobPath } from '../oci/store/layout.ts'
import type { Store } from '../oci/store/store.ts'
import type { TreeFile } from './tree.ts'

/** What text files in a tree may be as large as: image lists, manifests, passwd. */
const maxText = 16 * MiB

/** Where a file's bytes lie on this machine, for those that need a path. Undefined for what is only in memory. */
export function localPath(store: Store, file: TreeFile): string | undefined {
  switch (file.content.from) {
    case 'context':
      return file.content.path
    case 'pool':
      return blobPath(store.layout, file.content.digest)
    case 'memory':
      return undefined
  }
}

/** @throws SIZE_MISMATCH for more than 16 MiB. */
export async function readTreeText(store: Store, file: TreeFile): Promise<string> {
  if (file.size > maxText)
    throw new CloudimgError(
      'SIZE_MISMATCH',
      `reading "/${file.path}": ${file.size} bytes, at most ${maxText} are taken for text`,
    )
  if (file.content.from === 'memory') return file.content.bytes.toString('utf8')
  const path = localPath(store, file)!
  return await withFileErrors('reading', path, () => readFile(path, 'utf8'))
}

/** The first bytes, for looking at magic numbers. */
export async function readTreeHead(store: Store, file: TreeFile, bytes: number): Promise<Buffer> {
  if (file.content.from === 'memory') return file.content.bytes.subarray(0, bytes)
  const path = localPath(store, file)!
  return await withFileErrors('reading', path, async () => {
    const handle = await open(path, 'r')
    try {
      const buffer = Buffer.alloc(bytes)
      const { bytesRead } = await handle.read(buffer, 0, bytes, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await handle.close()
    }
  })
}
