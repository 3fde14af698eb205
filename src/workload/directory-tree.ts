import { readdirSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { MiB } from '../core/bytes.ts'
import { CloudimgError, errnoOf } from '../core/error.ts'
import { compareBytes, fileError, statIfPresent, withFileErrors } from '../io/files.ts'
import type { WorkloadFile, WorkloadTree } from './workload-tree.ts'

const maxText = 64 * MiB

/** A directory of this machine as a rootfs. Links are not followed. @throws USAGE where there is no such directory. */
export async function directoryTree(root: string): Promise<WorkloadTree> {
  if ((await statIfPresent(root))?.isDirectory() !== true)
    throw new CloudimgError('USAGE', `looking for images in "${root}": it is no directory`)
  return {
    files: directory => listFiles(root, directory),
    read: async file => {
      if (file.size > maxText)
        throw new CloudimgError(
          'SIZE_MISMATCH',
          `reading "${file.path}": ${file.size} bytes, at most ${maxText} are taken`,
        )
      const path = join(root, file.path)
      return await withFileErrors('reading', path, () => readFile(path))
    },
  }
}

function listFiles(root: string, directory: string): readonly WorkloadFile[] {
  try {
    return readdirSync(join(root, directory), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
      .sort(compareBytes)
      .map(path => ({ path, size: statSync(join(root, path)).size }))
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return []
    throw fileError('listing', join(root, directory), error)
  }
}
