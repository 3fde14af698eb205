import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MiB } from '../src/core/bytes.ts'
import { compareBytes } from '../src/io/files.ts'
import { noise, writeNoise } from '../test/support/noise.ts'

export const arches = ['amd64', 'arm64'] as const

/** MiB of each part; `tree` is of real programs and texts of this machine, the others are noise. */
export interface WorkloadSizes {
  readonly k3s: number
  readonly images: number
  readonly tree: number
}

export const reference: WorkloadSizes = { k3s: 70, images: 500, tree: 200 }

export interface Workload {
  readonly context: string
  readonly kubefile: string
  readonly bytes: number
}

/** The same text for every builder; each platform takes its own k3s and images, and shares the rest. */
const kubefile = `FROM scratch
ARG TARGETARCH
COPY \${TARGETARCH} /
COPY tree /tree/
COPY scripts /scripts/
`

/** What a k3s bundle is made of: a program and an archive of images for each architecture, a tree that shrinks, 60 scripts. */
export async function makeWorkload(directory: string, sizes: WorkloadSizes): Promise<Workload> {
  const context = join(directory, 'context')
  for (const arch of arches) {
    await mkdir(join(context, arch), { recursive: true })
    await writeFile(join(context, arch, 'k3s'), noise(`k3s ${arch}`, sizes.k3s * MiB))
    await writeNoise(join(context, arch, 'airgap.tar.zst'), sizes.images * MiB, arch)
  }
  await mkdir(join(context, 'tree'), { recursive: true })
  await fillTree(join(context, 'tree'), sizes.tree * MiB)
  await mkdir(join(context, 'scripts'))
  for (let number = 0; number < 60; number++) await writeFile(join(context, 'scripts', `${number}.sh`), script(number))
  const path = join(directory, 'Kubefile')
  await writeFile(path, kubefile)
  const perPlatform = sizes.k3s + sizes.images
  return { context, kubefile: path, bytes: (arches.length * perPlatform + sizes.tree) * MiB }
}

function script(number: number): string {
  return `#!/bin/sh\n# ${number}\n${`echo "step ${number}"\n`.repeat(80)}`
}

/** Many small files: `count` of 2 KiB in directories of a hundred. */
export async function makeSmallFiles(directory: string, count: number): Promise<Workload> {
  const context = join(directory, 'context')
  const text = Buffer.from(script(0).slice(0, 2000))
  for (let at = 0; at < count; at += 100) {
    const folder = join(context, String(at))
    await mkdir(folder, { recursive: true })
    for (let number = at; number < Math.min(at + 100, count); number++)
      await writeFile(join(folder, String(number)), `${number} ${text.toString()}`)
  }
  const path = join(directory, 'Kubefile')
  await writeFile(path, 'FROM scratch\nCOPY . .\n')
  return { context, kubefile: path, bytes: count * 2000 }
}

/** One file of noise. */
export async function makeLargeFile(directory: string, mebibytes: number): Promise<Workload> {
  const context = join(directory, 'context')
  await mkdir(context, { recursive: true })
  await writeNoise(join(context, 'noise'), mebibytes * MiB)
  const path = join(directory, 'Kubefile')
  await writeFile(path, 'FROM scratch\nCOPY . .\n')
  return { context, kubefile: path, bytes: mebibytes * MiB }
}

// Real ELF files and texts: what compressors make of invented ones says nothing. In byte order of names, so the same
// machine gives the same tree.
async function fillTree(target: string, bytes: number): Promise<void> {
  let left = bytes
  for (const source of ['/usr/bin', '/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/sbin']) {
    const names = await readdir(source).catch(() => [])
    for (const name of names.sort(compareBytes)) {
      if (left <= 0) return
      const path = join(source, name)
      const found = await stat(path).catch(() => undefined)
      if (found === undefined || !found.isFile() || found.size === 0 || found.size > left) continue
      const to = join(target, `${source.split('/').at(-1)}-${name}`)
      await copyFile(path, to)
      left -= found.size
    }
  }
  if (left > bytes / 10)
    throw new Error(`making the tree: this machine has too few programs, ${left} bytes are missing`)
}

/** Reads every byte once, so that nobody pays for a cold page cache. */
export async function warm(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && (await stat(join(entry.parentPath, entry.name))).size < 1 << 30)
      await readFile(join(entry.parentPath, entry.name))
}
