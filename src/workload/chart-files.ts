import { Readable } from 'node:stream'
import { gunzipSync } from 'node:zlib'
import { MiB } from '../core/bytes.ts'
import { isCloudimgError } from '../core/error.ts'
import { readTar } from '../io/tar.ts'
import type { WorkloadTree } from './workload-tree.ts'

/** Where charts lie: sealer's APP brings them too. */
export const chartFolders = ['charts', 'application/apps'] as const

/** Everything below those, packed charts unpacked: their files are called `charts/x-1.0.0.tgz/x/values.yaml`. */
export type ChartFiles = ReadonlyMap<string, () => Promise<Buffer>>

/** What a packed chart may unpack to: a chart is text. */
const maxPacked = 64 * MiB

/** `onBroken` is told what cannot be unpacked. */
export async function readChartFiles(tree: WorkloadTree, onBroken: (path: string) => void): Promise<ChartFiles> {
  const files = new Map<string, () => Promise<Buffer>>()
  for (const file of chartFolders.flatMap(folder => tree.files(folder))) {
    if (isPackedChart(file.path)) await unpackInto(files, file.path, () => tree.read(file), onBroken, 0)
    else files.set(file.path, () => tree.read(file))
  }
  return files
}

/** A chart of its own or a subchart; other archives are a chart's business. */
function isPackedChart(path: string): boolean {
  return /(?:^|\/)charts\/[^/]+\.tgz$/.test(path)
}

async function unpackInto(
  files: Map<string, () => Promise<Buffer>>,
  path: string,
  read: () => Promise<Buffer>,
  onBroken: (path: string) => void,
  depth: number,
): Promise<void> {
  try {
    const plain = gunzipSync(await read(), { maxOutputLength: maxPacked })
    for await (const entry of readTar(Readable.from([plain]), path)) {
      const name = entry.path.replace(/^(?:\.\/)+/, '')
      if (entry.type !== 'file' || name.split('/').includes('..')) continue
      const parts: Buffer[] = []
      for await (const part of entry.content()) parts.push(Buffer.from(part))
      const content = Buffer.concat(parts)
      const inside = `${path}/${name}`
      if (isPackedChart(inside) && depth < 4) await unpackInto(files, inside, async () => content, onBroken, depth + 1)
      else files.set(inside, async () => content)
    }
  } catch (error) {
    if (isCloudimgError(error, 'CANCELLED')) throw error
    onBroken(path)
  }
}
