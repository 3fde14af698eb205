import { chmod, mkdir, readdir, readlink, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { lstatIfPresent, statIfPresent } from '../../io/files.ts'
import type { BuildTree, TreeEntry } from '../tree.ts'
import type { JobMount, ReadableTree, RunJob } from './executor.ts'
import { type Laying, layEntries } from './lay-tree.ts'
import { skeletonOf } from './skeleton.ts'

/** Where the tree stands for a command in the toolbox. */
export const rootfsPath = 'rootfs'

/**
 * What programs need of this machine. Homes, data and settings are no tools: a RUN that read them would not be the same
 * anywhere else.
 */
const hostDirectories = /^(?:bin|sbin|lib[0-9a-z]*|usr|opt|nix|gnu)$/

/** Settings that programs of the host cannot do without; no secrets among them. */
const hostSettings = ['alternatives', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d']

/** Makes the toolbox's root in an empty directory, with places for mounts; gives what is to be laid over it. */
export async function makeHostBox(box: string, mounts: readonly JobMount[]): Promise<readonly JobMount[]> {
  for (const name of ['etc', 'run', 'dev', 'proc', 'sys', 'root', 'var', rootfsPath]) await mkdir(join(box, name))
  for (const name of ['tmp', 'var/tmp']) {
    await mkdir(join(box, name))
    await chmod(join(box, name), 0o1777)
  }
  await symlink('../run', join(box, 'var/run'))
  await writeFile(join(box, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n')
  await writeFile(join(box, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n')
  await writeFile(join(box, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n')
  const host: JobMount[] = []
  for (const name of (await readdir('/')).filter(name => hostDirectories.test(name))) {
    host.push(...(await hostEntry(box, name)))
  }
  for (const name of hostSettings) host.push(...(await hostEntry(box, `etc/${name}`)))
  for (const mount of mounts) await makePlace(box, mount)
  return host
}

/** What lies in a directory of this machine is there already, or is not to be had. */
async function makePlace(box: string, mount: JobMount): Promise<void> {
  if (hostDirectories.test(mount.target.split('/')[0] ?? '')) {
    if ((await statIfPresent(join('/', mount.target))) !== undefined) return
    throw new CloudimgError('CONTEXT_INVALID', `mounting at "/${mount.target}": the toolbox has no such place`, {
      hint: 'mount below /run, /tmp or /rootfs',
    })
  }
  const path = join(box, mount.target)
  if (mount.kind === 'bind' && mount.type === 'file') {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, '', { flag: 'a' })
  } else await mkdir(path, { recursive: true })
}

/** A directory or file of this machine at the same place in the box, read-only; a link as the link it is. */
async function hostEntry(box: string, path: string): Promise<readonly JobMount[]> {
  const source = join('/', path)
  const stats = await lstatIfPresent(source)
  if (stats === undefined) return []
  if (stats.isSymbolicLink()) {
    await symlink(await readlink(source), join(box, path))
    return []
  }
  const type = stats.isDirectory() ? 'directory' : 'file'
  if (type === 'directory') await mkdir(join(box, path))
  else await writeFile(join(box, path), '')
  return [{ kind: 'bind', source, target: path, type, readonly: true }]
}

/** The toolbox of a job in an empty directory, and the mounts that it needs beside the job's own. */
export async function layToolbox(
  job: RunJob,
  toolbox: NonNullable<RunJob['toolbox']>,
  box: string,
  laying: Laying,
  ctx: Context,
): Promise<readonly JobMount[]> {
  await mkdir(box, { mode: 0o755 })
  const own = job.mounts.filter(({ target }) => !target.startsWith(`${rootfsPath}/`))
  if (toolbox.from === 'host') return await makeHostBox(box, own)
  await layEntries(toolbox.content.read, boxSkeleton(toolbox.content.tree, own), box, laying, ctx)
  await layContent(toolbox.content, box, laying, ctx)
  return []
}

/** What a toolbox image may lack. */
export function boxSkeleton(tree: BuildTree, mounts: readonly JobMount[]): readonly TreeEntry[] {
  const place = { kind: 'bind', source: '', type: 'directory', readonly: true } as const
  const places = [rootfsPath, 'tmp'].map(target => ({ ...place, target }))
  return skeletonOf(tree, [...mounts, ...places], { isToolbox: false })
}

export async function layContent(
  { tree, read }: ReadableTree,
  directory: string,
  laying: Laying,
  ctx: Context,
): Promise<void> {
  await layEntries(read, tree.entries(), directory, laying, ctx)
}
