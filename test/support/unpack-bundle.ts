import { createReadStream } from 'node:fs'
import { text } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { decompress, sniffCompression } from '../../src/io/compression.ts'
import { readFile } from 'node:fs/promises'
import { readTar } from '../../src/io/tar.ts'

/** The files of a support bundle, by path. */
export async function unpackBundle(path: string): Promise<ReadonlyMap<string, string>> {
  const compression = sniffCompression((await readFile(path)).subarray(0, 512))
  const files = new Map<string, string>()
  for await (const entry of readTar(Readable.from(decompress(createReadStream(path), compression, path)), path))
    files.set(entry.path, await text(entry.content()))
  return files
}
