import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Context, withTask } from '../../core/context.ts'
import { hostPlatform } from '../../core/platform.ts'
import { fileError } from '../../io/files.ts'
import { verifying } from '../../io/hash.ts'
import { streamOf } from '../../io/read-file.ts'
import { encodeHeader, tarEnd, tarPadding, type TarType } from '../../io/tar.ts'
import type { BlobReader, ImageSource } from '../ends.ts'
import { blobPath } from './blob-path.ts'
import { type DockerList, listForDocker, unpackLayer } from './docker-list.ts'
import {
  type ArchiveOptions,
  type ArchivePlan,
  type ArchiveRoot,
  ociLayout,
  over,
  planArchive,
} from './plan-archive.ts'

/**
 * Writes images as one tar that podman, containerd and docker all load: an OCI layout with docker's manifest.json beside
 * it. What loaders of a stream need first stands first; then the blobs in byte order. The same images give the same bytes.
 * Nothing is kept on disk between; `out` is ended. @throws what the source throws, FILE_ERROR, DISK_FULL.
 */
export async function saveArchive(
  source: ImageSource,
  roots: readonly ArchiveRoot[],
  out: Writable,
  options: ArchiveOptions,
  ctx: Context,
): Promise<void> {
  const plan = await planArchive(source, roots, options, ctx)
  const reader = over(source, plan.documents)
  const docker = await listForDocker(reader, plan.images, options.platform ?? hostPlatform(), ctx)
  await withTask(ctx, 'archive', async task => {
    const total = [...plan.blobs, ...docker.plainLayers].reduce((sum, { size }) => sum + size, 0)
    const chunks = streamOf(archiveBytes(reader, plan, docker, done => task.progress(done, total), ctx))
    try {
      await pipeline(chunks, out, { signal: ctx.signal })
    } catch (error) {
      ctx.signal.throwIfAborted()
      throw fileError('writing', 'path' in out && typeof out.path === 'string' ? out.path : 'the archive', error)
    }
  })
}

const folders = ['blobs/', 'blobs/sha256/'] as const

async function* archiveBytes(
  reader: BlobReader,
  plan: ArchivePlan,
  docker: DockerList,
  progress: (done: number) => void,
  ctx: Context,
): AsyncGenerator<Buffer> {
  yield* smallFile('oci-layout', ociLayout)
  yield* smallFile('index.json', plan.indexJson)
  yield* smallFile('manifest.json', docker.manifestJson)
  for (const folder of folders) yield header('directory', folder, 0)
  let done = 0
  const count = (chunk: Buffer): Buffer => {
    done += chunk.length
    progress(done)
    return chunk
  }
  for (const blob of plan.blobs) {
    yield header('file', blobPath(blob.digest), blob.size)
    for await (const chunk of (await reader.open(blob, ctx)) as AsyncIterable<Buffer>) yield count(chunk)
    yield tarPadding(blob.size)
  }
  for (const { path, layer, diffId, size } of docker.plainLayers) {
    yield header('file', path, size)
    const plain = verifying(
      streamOf(unpackLayer(reader, layer, ctx)),
      { digest: diffId, size },
      `layer ${layer.digest}`,
    )
    for await (const chunk of plain as AsyncIterable<Buffer>) yield count(chunk)
    yield tarPadding(size)
  }
  yield tarEnd
}

function* smallFile(path: string, content: Buffer): Generator<Buffer> {
  yield header('file', path, content.length)
  yield content
  yield tarPadding(content.length)
}

function header(type: TarType, path: string, size: number): Buffer {
  return encodeHeader({ type, path, mode: type === 'directory' ? 0o755 : 0o644, uid: 0, gid: 0, size, mtime: 0 })
}
