import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { constants, createZstdCompress } from 'node:zlib'
import { dockerArchive, ociArchive, tinyImage } from './standin-images.ts'

/** Archives of one small image each, as people put them into agent/images; the name says what is special. */
export function ociArchiveOf(name: string, annotations: Readonly<Record<string, string>>): Buffer {
  return ociArchive([tinyImage('tiny', 'amd64', name, 2048)], () => annotations)
}

/** A docker-archive; no tag at all where `repoTag` is undefined. */
export function dockerArchiveOf(name: string, repoTag: string | undefined): Buffer {
  return dockerArchive([tinyImage('tiny', 'amd64', name, 2048)], () => (repoTag === undefined ? [] : [repoTag]))
}

/** One zstd frame that needs a window of 2^windowLog bytes. */
export async function zstdWithWindow(plain: Buffer, windowLog: number): Promise<Buffer> {
  // As a stream, so that the frame does not say its size, which would shrink the window.
  const compressor = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: windowLog } })
  return await buffer(Readable.from([plain.subarray(0, 100), plain.subarray(100)]).pipe(compressor))
}
