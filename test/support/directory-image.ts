import { createReadStream } from 'node:fs'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { type ClusterMetadata, parseClusterMetadata } from '../../src/core/cluster-metadata.ts'
import { type Digest, digestOf } from '../../src/core/digest.ts'
import { hostPlatform } from '../../src/core/platform.ts'
import type { DeployImage } from '../../src/deploy/deploy-image.ts'
import { compareBytes } from '../../src/io/files.ts'
import { hashFile } from '../../src/io/hash.ts'
import type { RootfsFile } from '../../src/oci/rootfs-file.ts'

/** A cluster image that is a directory: what `unpack` would give. Its digest is that of its list of files. */
export async function directoryImage(directory: string, reference = 'test/cluster:1'): Promise<DeployImage> {
  const tree = await listDirectory(directory)
  const digest: Digest = digestOf(
    tree.map(file => `${file.path} ${file.type === 'file' ? file.digest : ''}\n`).join(''),
  )
  const metadata: ClusterMetadata = parseClusterMetadata(await readFile(join(directory, 'Metadata'), 'utf8'))
  const platform = { platform: hostPlatform(), digest, metadata, listRootfs: () => Promise.resolve(tree) }
  return { reference, digest, platforms: [platform] }
}

export async function listDirectory(root: string): Promise<readonly RootfsFile[]> {
  const names = await readdir(root, { recursive: true })
  const files = await Promise.all(names.sort(compareBytes).map(path => describe(root, path)))
  return files
}

async function describe(root: string, path: string): Promise<RootfsFile> {
  const full = join(root, path)
  const stats = await lstat(full)
  if (stats.isSymbolicLink()) return { type: 'symlink', path, target: await readlink(full) }
  if (stats.isDirectory()) return { type: 'directory', path, mode: stats.mode & 0o7777 }
  const { digest, size } = await hashFile(full)
  return {
    type: 'file',
    path,
    mode: stats.mode & 0o7777,
    size,
    digest,
    open: () => Promise.resolve(createReadStream(full)),
  }
}
