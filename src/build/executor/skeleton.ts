import { CloudimgError } from '../../core/error.ts'
import type { BuildTree, TreeEntry } from '../tree.ts'
import type { JobMount } from './executor.ts'

/** Where the kernel's own file systems and the three files stand that every engine brings. */
const kernelDirectories = ['dev', 'proc', 'sys'] as const
export const engineFiles = ['etc/hosts', 'etc/hostname', 'etc/resolv.conf'] as const

/**
 * Entries that a tree lacks and a command needs: places for mounts, and in the toolbox a `bin` to install into.
 * Targets are without links. @throws CONTEXT_INVALID where something of another kind is in the way.
 */
export function skeletonOf(
  tree: BuildTree,
  mounts: readonly JobMount[],
  { isToolbox }: { readonly isToolbox: boolean },
): readonly TreeEntry[] {
  const entries = new Map<string, TreeEntry>()
  const add = (path: string, type: 'file' | 'directory'): void => {
    for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) {
      addOne(path.slice(0, slash), 'directory')
    }
    addOne(path, type)
  }
  const addOne = (path: string, type: 'file' | 'directory'): void => {
    const present = tree.get(path)
    if (present === undefined) entries.set(path, placeEntry(path, type))
    else if (present.type !== type && !(type === 'file' && present.type !== 'directory'))
      refuse(path, type, present.type)
  }
  if (!isToolbox) for (const path of kernelDirectories) add(path, 'directory')
  else add('bin', 'directory')
  for (const mount of mounts) add(mount.target, mount.kind === 'bind' ? mount.type : 'directory')
  return [...entries.values()]
}

function placeEntry(path: string, type: 'file' | 'directory'): TreeEntry {
  const attributes = { path, mode: 0o755, uid: 0, gid: 0 }
  if (type === 'directory') return { ...attributes, type }
  return { ...attributes, mode: 0o644, type, size: 0, content: { from: 'memory', bytes: Buffer.alloc(0) } }
}

function refuse(path: string, wanted: string, found: string): never {
  throw new CloudimgError('CONTEXT_INVALID', `mounting a ${wanted} at "/${path}": a ${found} is there`, {
    hint: 'choose another target for the mount',
  })
}

/** Which paths of the tree belong to whoever runs the command: they are no part of what the command did. */
export function engineMade(
  mounts: readonly JobMount[],
  { isToolbox }: { readonly isToolbox: boolean },
): (path: string) => boolean {
  const places = new Set([...(isToolbox ? [] : kernelDirectories), ...mounts.map(({ target }) => target)])
  return path => {
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      if (places.has(path.slice(0, end))) return true
    }
    return false
  }
}
