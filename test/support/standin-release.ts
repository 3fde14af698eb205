import { createHash } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync, zstdCompressSync, constants as zlib } from 'node:zlib'
import type { Arch } from '../../src/core/platform.ts'
import { buildStandin, standinCodeHash } from './build-standin.ts'
import { parseVersion, profileOf } from './k3s-standin/profile.ts'
import { systemImages } from './k3s-standin/system-images.ts'
import { standinImageArchive } from './standin-images.ts'

export type ArchiveSuffix = 'tar' | 'tar.gz' | 'tar.zst'

export interface StandinReleaseOptions {
  /** `v1.31.4+k3s1` */
  readonly tag: string
  readonly arches: readonly Arch[]
  /** Bytes of each binary; 60 MiB unless told. */
  readonly size?: number
  /** Bytes of each of the eight images' only layer; 256 KiB unless told. */
  readonly layerBytes?: number
  /** Which forms of the air-gap archive; only tar.zst unless told. */
  readonly archives?: readonly ArchiveSuffix[]
}

/** Suffix of the binary; archives and checksum files have the architecture itself. (facts/k3s.md §2.1) */
const binarySuffixes: Readonly<Record<Arch, string>> = { amd64: '', arm64: '-arm64', arm: '-armhf', s390x: '-s390x' }

const layoutVersion = 1

/**
 * Makes `dir/<tag>/` with what a k3s release consists of, under upstream's names and in its formats, and `dir/channels.json`; in it
 * k3s is the stand-in. The same options give the same bytes. Kept in a cache under the temp directory: the second time it is a copy.
 */
export async function makeStandinRelease(dir: string, options: StandinReleaseOptions): Promise<void> {
  const target = join(dir, options.tag)
  await mkdir(target, { recursive: true })
  for (const arch of options.arches) await copyInto(await cachedArch(arch, options), target)
  const images = systemImages(options.tag)
  await writeFile(join(target, 'k3s-images.txt'), images.map(name => `${name}\n`).join(''))
  const script = await readFile(source('install.sh'), 'utf8')
  const agentType = profileOf(options.tag).agentNotifies ? 'notify' : 'exec'
  await writeFile(join(target, 'install.sh'), script.replace('@AGENT_TYPE@', agentType), { mode: 0o755 })
  await writeFile(join(dir, 'channels.json'), await channelsOf(dir))
}

/** The files of one architecture, in a directory that is complete or absent. */
async function cachedArch(arch: Arch, options: StandinReleaseOptions): Promise<string> {
  const { tag, size, layerBytes = 256 * 1024, archives = ['tar.zst'] } = options
  const code = await standinCodeHash(tag)
  const key = JSON.stringify([layoutVersion, code, systemImages(tag), tag, arch, size, layerBytes, archives])
  const cache = join(tmpdir(), `cloudimg-standin-${process.getuid?.() ?? 0}`)
  const home = join(cache, createHash('sha256').update(key).digest('hex'))
  if (await exists(home)) return home
  await mkdir(cache, { recursive: true, mode: 0o700 })
  const temp = `${home}.tmp-${process.pid}`
  await rm(temp, { recursive: true, force: true })
  await mkdir(temp)
  await writeArch(temp, arch, { ...options, layerBytes, archives })
  // Another process may have been faster; both made the same.
  await rename(temp, home).catch(async () => await rm(temp, { recursive: true, force: true }))
  return home
}

async function writeArch(
  to: string,
  arch: Arch,
  {
    tag,
    size,
    layerBytes,
    archives,
  }: StandinReleaseOptions & { layerBytes: number; archives: readonly ArchiveSuffix[] },
): Promise<void> {
  const plain = standinImageArchive(tag, arch, systemImages(tag), layerBytes)
  const names = archives.map(suffix => `k3s-airgap-images-${arch}.${suffix}`).toSorted()
  for (const name of names) await writeFile(join(to, name), compress(plain, name))
  const binary = `k3s${binarySuffixes[arch]}`
  await buildStandin(join(to, binary), { version: tag, arch, ...(size === undefined ? {} : { size }) })
  const sums: string[] = []
  for (const name of [...names, binary]) sums.push(`${await sha256Of(join(to, name))}  ${name}\n`)
  await writeFile(join(to, `sha256sum-${arch}.txt`), sums.join(''))
}

function compress(plain: Buffer, name: string): Buffer {
  if (name.endsWith('.gz')) return gzipSync(plain, { level: 1 })
  // A window of 32 MiB, as upstream's `zstd --long=25`.
  if (name.endsWith('.zst'))
    return zstdCompressSync(plain, { params: { [zlib.ZSTD_c_windowLog]: 25, [zlib.ZSTD_c_checksumFlag]: 1 } })
  return plain
}

/** The channel server's answer for the releases beside it: stable, latest, and one channel per minor. (facts/k3s.md §2.4) */
async function channelsOf(dir: string): Promise<string> {
  const tags = (await readdir(dir, { withFileTypes: true }))
    .filter(entry => entry.isDirectory() && /^v1\.\d+\.\d+.*\+k3s\d+$/.test(entry.name))
    .map(({ name }) => name)
    .toSorted(compareTags)
  const newest = tags.at(-1)
  const minors = new Map(tags.map(tag => [`v1.${parseVersion(tag).minor}`, tag]))
  const channels = [
    ...(newest === undefined
      ? []
      : [
          ['stable', newest],
          ['latest', newest],
        ]),
    ...minors,
  ]
  const base = 'https://update.k3s.io/v1-release/channels'
  const data = channels.map(([id, latest]) => ({
    id,
    type: 'channel',
    links: { self: `${base}/${id}` },
    name: id,
    latest,
  }))
  return `${JSON.stringify({ type: 'collection', links: { self: base }, actions: {}, resourceType: 'channels', data }, undefined, 2)}\n`
}

function compareTags(a: string, b: string): number {
  const numbers = (tag: string): readonly number[] => (tag.match(/\d+/g) ?? []).map(Number)
  const [left, right] = [numbers(a), numbers(b)]
  const at = left.findIndex((value, index) => value !== right[index])
  return at < 0 ? 0 : (left[at] ?? 0) - (right[at] ?? 0)
}

async function copyInto(from: string, to: string): Promise<void> {
  for (const name of await readdir(from)) {
    await rm(join(to, name), { force: true })
    await copyFile(join(from, name), join(to, name), constants.COPYFILE_FICLONE)
    if (/^k3s(?:-arm64|-armhf|-s390x)?$/.test(name)) await chmod(join(to, name), 0o755)
  }
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

async function exists(path: string): Promise<boolean> {
  return await readdir(path).then(
    () => true,
    () => false,
  )
}

function source(name: string): string {
  return fileURLToPath(new URL(`k3s-standin/${name}`, import.meta.url))
}
