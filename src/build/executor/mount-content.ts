import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import type { CopySource } from '../copy-source.ts'
import { cleanSource } from '../context.ts'
import { BuildTree, type TreeEntry } from '../tree.ts'
import type { ReadableTree } from './executor.ts'
import { fileDigest } from './file-digest.ts'

/** The one thing at the top of what is laid down for a mount. */
export const mountName = 'data'

export interface MountContent {
  readonly content: ReadableTree
  readonly type: 'file' | 'directory'
}

/** What `source=` names, as a tree whose one top entry is `data`. @throws CONTEXT_INVALID where it is not there. */
export function mountContent(origin: CopySource, source: string, read: ReadableTree['read']): MountContent {
  const clean = cleanSource(source)
  const found = clean === '' ? origin.entry('') : origin.find(clean)[0]?.entry
  if (found === undefined || (found.type !== 'file' && found.type !== 'directory')) {
    throw new CloudimgError('CONTEXT_INVALID', `mounting "${source}" of ${origin.what}: it is not there`, {
      hint: 'check the source, and what .dockerignore says',
    })
  }
  const tree = new BuildTree()
  tree.put({ ...found, path: mountName })
  if (found.type === 'directory') {
    for (const entry of origin.walk(found.path)) tree.put({ ...entry, path: below(found.path, entry.path) })
  }
  return { content: { tree, read }, type: found.type }
}

function below(directory: string, path: string): string {
  return posix.join(mountName, directory === '' ? path : path.slice(directory.length + 1))
}

/** What a directory that is nobody's copy begins with. */
export function emptyDirectory(owner: {
  readonly mode: number
  readonly uid: number
  readonly gid: number
}): BuildTree {
  const tree = new BuildTree()
  tree.put({ type: 'directory', path: mountName, mode: owner.mode, uid: owner.uid, gid: owner.gid })
  return tree
}

/** All that a command can see of it. */
export async function contentKey({ content }: MountContent, ctx: Context): Promise<string> {
  const hash = createHash('sha256')
  for (const entry of content.tree.entries()) hash.update(JSON.stringify(await entryKey(content, entry, ctx)))
  return hash.digest('hex')
}

async function entryKey(content: ReadableTree, entry: TreeEntry, ctx: Context): Promise<readonly unknown[]> {
  const { type, path, mode, uid, gid } = entry
  const more =
    entry.type === 'file' ? await fileDigest(content, entry, ctx) : 'linkTarget' in entry ? entry.linkTarget : ''
  return [type, path, mode, uid, gid, more]
}
