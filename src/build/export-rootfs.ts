import { chmod, chown, lstat, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { getuid } from 'node:process'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { CloudimgError } from '../core/error.ts'
import { formatPlatform } from '../core/platform.ts'
import { lstatIfPresent, temporaryBeside, withFileErrors } from '../io/files.ts'
import { type PlatformImage, readImage } from '../oci/document.ts'
import { mergeLayers } from '../oci/layer-reader.ts'
import type { Store } from '../oci/store/store.ts'
import { unpackLayers } from '../oci/unpack.ts'
import { findDocument, storedTars } from './base-images.ts'
import { treeSource } from './copy-source.ts'
import { tarBytes } from './layers/make-layer.ts'
import { treeOfTars } from './stored-tar.ts'
import type { TreeEntry } from './tree.ts'

/** The images of those manifests. */
export async function imagesOf(
  store: Store,
  manifests: readonly Digest[],
  ctx: Context,
): Promise<readonly PlatformImage[]> {
  return await Promise.all(
    manifests.map(async digest => {
      const descriptor = await findDocument(store, digest)
      if (descriptor === undefined)
        throw new CloudimgError('IMAGE_NOT_FOUND', `reading image ${digest}: not in the store`)
      return await readImage(store, descriptor, ctx)
    }),
  )
}

/** As buildx has it: one platform's tree stands alone, several each in a directory of its own, `linux_amd64`. */
function directoryOf({ platform }: PlatformImage, images: readonly PlatformImage[]): string {
  return images.length === 1 ? '' : formatPlatform(platform).replaceAll('/', '_')
}

/**
 * The images' trees as files below `directory`. What is there already and of another name stays; files of the same
 * name are replaced, each at once. @throws FILE_ERROR, DISK_FULL.
 */
export async function exportDirectory(
  store: Store,
  images: readonly PlatformImage[],
  directory: string,
  ctx: Context,
): Promise<void> {
  await withFileErrors('making', directory, () => mkdir(directory, { recursive: true }))
  for (const image of images) {
    const target = join(directory, directoryOf(image, images))
    const staging = temporaryBeside(join(directory, 'tree'))
    try {
      await unpackLayers(store, image.manifest.layers, staging, ctx)
      await withFileErrors('writing', target, () => mergeInto(staging, target))
    } finally {
      await rm(staging, { recursive: true, force: true })
    }
  }
}

async function mergeInto(from: string, to: string): Promise<void> {
  const there = await lstatIfPresent(to)
  const stats = await lstat(from)
  const isDirectory = stats.isDirectory()
  if (there?.isDirectory() === true && !isDirectory) throw inTheWay(to, 'directory', 'file')
  if (there !== undefined && !there.isDirectory() && isDirectory) throw inTheWay(to, 'file', 'directory')
  if (there === undefined || !isDirectory) return await rename(from, to)
  for (const name of await readdir(from)) await mergeInto(join(from, name), join(to, name))
  if (getuid?.() === 0) await chown(to, stats.uid, stats.gid)
  await chmod(to, stats.mode & 0o7777)
}

function inTheWay(path: string, is: string, wanted: string): CloudimgError {
  return new CloudimgError('FILE_ERROR', `writing "${path}": a ${is} is there, and the image has a ${wanted}`, {
    hint: 'choose an empty directory',
  })
}

/** The images' trees as one plain tar; the same images give the same bytes. */
export async function* exportTar(
  store: Store,
  images: readonly PlatformImage[],
  epoch: number,
  ctx: Context,
): AsyncGenerator<Buffer> {
  const entries: TreeEntry[] = []
  for (const image of images) {
    const directory = directoryOf(image, images)
    const tree = treeOfTars(await mergeLayers(store, image.manifest.layers, ctx), storedTars(image))
    if (directory !== '') entries.push({ type: 'directory', path: directory, mode: 0o755, uid: 0, gid: 0 })
    for (const entry of treeSource(tree, 'image').walk(''))
      entries.push(directory === '' ? entry : { ...entry, path: `${directory}/${entry.path}` })
  }
  yield* tarBytes(store, { entries, createdBy: '' }, { epoch, compression: 'none', wantsDigest: () => false }, {}, ctx)
}
