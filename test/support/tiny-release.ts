import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { encodeHeader, tarEnd, tarPadding } from '../../src/io/tar.ts'
import { noise } from './noise.ts'

export const tinyVersion = 'v1.31.4+k3s1'

/** What a release's archive has, as k3s-images.txt names it (facts/k3s.md §2.5). */
export const tinyImages: readonly string[] = [
  'docker.io/rancher/klipper-helm:v0.9.3-build20241008',
  'docker.io/rancher/klipper-lb:v0.4.9',
  'docker.io/rancher/local-path-provisioner:v0.0.30',
  'docker.io/rancher/mirrored-coredns-coredns:1.12.0',
  'docker.io/rancher/mirrored-library-busybox:1.36.1',
  'docker.io/rancher/mirrored-library-traefik:2.11.10',
  'docker.io/rancher/mirrored-metrics-server:v0.7.2',
  'docker.io/rancher/mirrored-pause:3.6',
]

type Arch = 'amd64' | 'arm64' | 'arm'

export interface TinyReleaseOptions {
  readonly version?: string
  readonly arches?: readonly Arch[]
  /** Random bytes of each binary; 300,000 unless told. */
  readonly binaryBytes?: number
}

export interface TinyRelease {
  /** For `--mirror k3s=…`. */
  readonly directory: string
  readonly version: string
  /** The folder of one tag below it. */
  readonly tagDirectory: string
}

const suffixes: Readonly<Record<Arch, string>> = { amd64: '', arm64: '-arm64', arm: '-armhf' }

/**
 * A release directory with upstream's names, formats and checksum files (facts/k3s.md §2) and next to nothing inside:
 * the binary is random bytes, each image one file. The same options give the same bytes.
 */
export async function makeTinyRelease(directory: string, options: TinyReleaseOptions = {}): Promise<TinyRelease> {
  const { version = tinyVersion, arches = ['amd64', 'arm64', 'arm'], binaryBytes = 300_000 } = options
  const tagDirectory = join(directory, version)
  await mkdir(tagDirectory, { recursive: true })
  const write = (name: string, content: string | Uint8Array): Promise<void> =>
    writeFile(join(tagDirectory, name), content)
  for (const arch of arches) {
    const tar = dockerArchive(arch)
    const archive = `k3s-airgap-images-${arch}.tar`
    const assets: readonly (readonly [name: string, content: Buffer])[] = [
      [archive, tar],
      [`${archive}.gz`, gzipSync(tar)],
      [`${archive}.zst`, zstdCompressSync(tar)],
      [`k3s${suffixes[arch]}`, noise(`${version} ${arch}`, binaryBytes)],
    ]
    for (const [name, content] of assets) await write(name, content)
    await write(`sha256sum-${arch}.txt`, assets.map(([name, content]) => `${sha256(content)}  ${name}\n`).join(''))
  }
  await write('k3s-images.txt', `${tinyImages.join('\n')}\n`)
  await write('install.sh', `#!/bin/sh\n# stands in for the installer of k3s ${version}\nexit 1\n`)
  return { directory, version, tagDirectory }
}

/** As `docker save` writes it: one layer with one file for each image. */
function dockerArchive(arch: Arch): Buffer {
  const parts: Buffer[] = []
  const manifest = tinyImages.map(name => {
    const layer = Buffer.concat([...tarFile('etc/image', Buffer.from(`${name} for ${arch}\n`)), tarEnd])
    const config = Buffer.from(
      JSON.stringify({
        architecture: arch,
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
        history: [{ created: '1970-01-01T00:00:00Z', created_by: 'test' }],
      }),
    )
    const layerPath = `${sha256(layer)}/layer.tar`
    parts.push(...tarFile(`${sha256(config)}.json`, config), ...tarFile(layerPath, layer))
    return {
      Config: `${sha256(config)}.json`,
      RepoTags: [name.replace(/^docker\.io\//, '')],
      Layers: [layerPath],
    }
  })
  return Buffer.concat([...tarFile('manifest.json', Buffer.from(JSON.stringify(manifest))), ...parts, tarEnd])
}

function tarFile(path: string, content: Buffer): Buffer[] {
  const header = encodeHeader({ type: 'file', path, mode: 0o644, uid: 0, gid: 0, size: content.length, mtime: 0 })
  return [header, content, tarPadding(content.length)]
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
