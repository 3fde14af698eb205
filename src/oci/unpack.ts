import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import {
  type FileHandle,
  chmod,
  lchown,
  link,
  lutimes,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  rmdir,
  symlink,
  utimes,
} from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { getuid } from 'node:process'
import type { Context } from '../core/context.ts'
import { withTask } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { run } from '../io/exec.ts'
import { lstatIfPresent, withFileErrors } from '../io/files.ts'
import type { Descriptor } from './descriptor.ts'
import type { BlobReader } from './ends.ts'
import { mergeLayers, readLayer } from './layer-reader.ts'
import { type DirectoryNode, type LeafNode, type MergedTree, safeParts, type TreeNode } from './merged-tree.ts'

/**
 * Writes the tree that the layers make into `directory`, which must be absent or empty. It is made in a private folder
 * beside and renamed when whole. As root owners are set; otherwise all is the caller's, and a warning says so. With
 * `diffIds` the layers must be what the image's config says.
 * @throws UNSAFE_ARCHIVE, IMAGE_INVALID, DISK_FULL, FILE_ERROR; DIGEST_MISMATCH;
 * USAGE where the directory has content.
 */
export async function unpackLayers(
  source: BlobReader,
  layers: readonly Descriptor[],
  directory: string,
  ctx: Context,
  diffIds?: readonly Digest[],
): Promise<void> {
  const target = resolve(directory)
  await refuseContent(target)
  const staging = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`)
  await withFileErrors('unpacking into', target, async () => {
    await mkdir(dirname(target), { recursive: true })
    await mkdir(staging, { mode: 0o700 })
    try {
      await withTask(ctx, `unpacking ${layers.length} layers`, async () => {
        const tree = await mergeLayers(source, layers, ctx, diffIds)
        await new Unpacker(staging, ctx).write(tree, source, layers)
      })
      if ((await lstatIfPresent(target)) !== undefined) await rmdir(target)
      await rename(staging, target)
    } catch (error) {
      await rm(staging, { recursive: true, force: true })
      throw error
    }
  })
}

async function refuseContent(target: string): Promise<void> {
  const stats = await lstatIfPresent(target)
  if (stats === undefined || (stats.isDirectory() && (await readdir(target)).length === 0)) return
  throw new CloudimgError(
    'USAGE',
    `unpacking into "${target}": it exists and is ${stats.isDirectory() ? 'not empty' : 'no directory'}`,
    {
      hint: 'name a directory that does not exist yet',
    },
  )
}

class Unpacker {
  readonly #root: string
  readonly #ctx: Context
  readonly #owners = getuid?.() === 0
  readonly #written = new Map<LeafNode, string>()

  constructor(root: string, ctx: Context) {
    this.#root = root
    this.#ctx = ctx
  }

  async write(tree: MergedTree, source: BlobReader, layers: readonly Descriptor[]): Promise<void> {
    if (!this.#owners)
      this.#warn('unpack-owners', 'unpacking without root: all files belong to you', 'run as root to keep owners')
    const wanted = this.#plan(tree)
    await this.#makeDirectories(tree)
    for (const [number, layer] of layers.entries()) {
      const leaves = wanted.get(number)
      if (leaves === undefined) continue
      let index = 0
      for await (const entry of await readLayer(source, layer, this.#ctx)) {
        const leaf = leaves.get(index++)
        if (leaf === undefined) continue
        await this.#writeLeaf(leaf.path, leaf.node, entry.content())
        this.#ctx.signal.throwIfAborted()
      }
    }
    for (const [path, node] of tree.entries()) await this.#writeLink(path, node)
    await this.#finishDirectories(tree)
  }

  /** For each layer the entries that survive, by their number: all else is passed over. */
  #plan(tree: MergedTree): Map<number, Map<number, { readonly path: string; readonly node: LeafNode }>> {
    const plan = new Map<number, Map<number, { readonly path: string; readonly node: LeafNode }>>()
    for (const [path, node] of tree.entries()) {
      if (node.type === 'directory' || this.#written.has(node)) continue
      this.#written.set(node, path)
      const leaves = plan.get(node.place.layer) ?? new Map()
      plan.set(node.place.layer, leaves.set(node.place.entry, { path, node }))
    }
    return plan
  }

  #path(path: string): string {
    return join(this.#root, ...safeParts(path, 'the image'))
  }

  async #makeDirectories(tree: MergedTree): Promise<void> {
    for (const [path, node] of tree.entries())
      if (node.type === 'directory') await mkdir(this.#path(path), { mode: 0o700 })
  }

  async #writeLeaf(path: string, node: LeafNode, content: AsyncGenerator<Buffer>): Promise<void> {
    const target = this.#path(path)
    switch (node.type) {
      case 'file':
        await writeContent(target, content)
        break
      case 'symlink':
        await symlink(node.linkTarget ?? '', target)
        break
      case 'fifo':
        await this.#make(['mkfifo', '--', target], path)
        break
      case 'character-device':
      case 'block-device':
        if (!this.#owners) {
          this.#written.delete(node)
          return this.#warn('unpack-device', `unpacking "${path}": devices need root, left out`)
        }
        await this.#make(
          [
            'mknod',
            '--',
            target,
            node.type === 'block-device' ? 'b' : 'c',
            String(node.deviceMajor),
            String(node.deviceMinor),
          ],
          path,
        )
        break
    }
    await this.#setAttributes(target, path, node)
  }

  async #make(argv: readonly string[], path: string): Promise<void> {
    const { code, stderr } = await run(argv, {}, this.#ctx)
    if (code !== 0) throw new CloudimgError('FILE_ERROR', `unpacking "${path}": ${stderr.trim()}`)
  }

  async #setAttributes(target: string, path: string, node: TreeNode): Promise<void> {
    if (this.#owners) await lchown(target, node.uid, node.gid)
    if (node.type === 'symlink') {
      await lutimes(target, node.mtime, node.mtime)
      return
    }
    for (const [name, value] of Object.entries(node.xattrs ?? {})) {
      // On a file system that becomes an overlay's layer these would hide files, or show others in their place.
      if (/^(?:trusted|user)\.overlay\./.test(name)) {
        this.#warn('unpack-xattr', `unpacking "${path}": the attribute "${name}" is left out`)
        continue
      }
      // Node has no call for extended attributes.
      const { code, stderr } = await run(
        ['setfattr', '-n', name, '-v', `0x${value.toString('hex')}`, '--', target],
        {},
        this.#ctx,
      )
      if (code !== 0)
        this.#warn('unpack-xattr', `unpacking "${path}": the attribute "${name}" could not be set: ${stderr.trim()}`)
    }
    await chmod(target, node.mode)
    if (node.type !== 'directory') await utimes(target, node.mtime, node.mtime)
  }

  async #writeLink(path: string, node: TreeNode): Promise<void> {
    if (node.type === 'directory') return
    const first = this.#written.get(node)
    if (first !== undefined && first !== path) await link(this.#path(first), this.#path(path))
  }

  // Last and innermost first: a read-only directory must not stop what goes into it, nor its time be changed by that.
  async #finishDirectories(tree: MergedTree): Promise<void> {
    const directories = [...tree.entries()].filter(
      (entry): entry is [string, DirectoryNode] => entry[1].type === 'directory',
    )
    for (const [path, node] of [...directories.reverse(), ['', tree.root] as const]) {
      const target = this.#path(path)
      await this.#setAttributes(target, path, node)
      await utimes(target, node.mtime, node.mtime)
    }
  }

  #warn(code: string, message: string, hint?: string): void {
    this.#ctx.events({ kind: 'warning', code, message, ...(hint === undefined ? {} : { hint }) })
  }
}

async function writeContent(target: string, content: AsyncGenerator<Buffer>): Promise<void> {
  const handle: FileHandle = await open(
    target,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  )
  try {
    for await (const chunk of content) await handle.writeFile(chunk)
  } finally {
    await handle.close()
  }
}
