import { copyFile, cp, mkdir, readdir, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ClusterMetadata, formatClusterMetadata } from '../../src/core/cluster-metadata.ts'
import type { DeployImage } from '../../src/deploy/deploy-image.ts'
import { directoryImage } from './directory-image.ts'
import { atLeast } from './k3s-standin/profile.ts'
import { makeStandinRelease } from './standin-release.ts'

export interface ReleaseImage {
  readonly image: DeployImage
  readonly version: string
  readonly standIn: boolean
  /** What the image holds, to be changed by tests. */
  readonly directory: string
}

/**
 * A cluster image for this machine's kind, as a directory below `home`: of the stand-in's release, or of the real one that
 * `K3S_REAL_DIR` names (`…/v1.31.4+k3s1`, with upstream's asset names). `size`: bytes of the stand-in's program; 60 MiB unless told.
 */
export async function releaseImage(home: string, tag = 'v1.31.4+k3s1', size?: number): Promise<ReleaseImage> {
  const real = process.env.K3S_REAL_DIR
  return await imageOfRelease(
    real ?? (await standinRelease(join(home, 'release'), tag, size)),
    home,
    real === undefined,
  )
}

async function imageOfRelease(release: string, home: string, standIn: boolean): Promise<ReleaseImage> {
  const version = basename(release)
  const directory = join(home, 'rootfs')
  await layRootfs(release, directory)
  const metadata: ClusterMetadata = {
    apiVersion: 'cloudimg.io/v1',
    kind: 'ClusterImage',
    runtime: 'k3s',
    version,
    platform: 'linux/amd64',
    sealed: true,
    unsealed: [],
    artifacts: [],
    features: Object.keys(featureGates).filter(name => atLeast(featureGates[name]!, version)),
    ...(standIn ? { standIn } : {}),
    components: {},
    images: [],
  }
  await writeFile(join(directory, 'Metadata'), formatClusterMetadata(metadata))
  return { image: await directoryImage(directory), version, standIn, directory }
}

/** Those that deploying asks for, as rootfs-templates/k3s/rootfs.yaml has them. */
const featureGates: Readonly<Record<string, string>> = {
  'cluster-init-from-sqlite': '1.22.2',
  'etcd-voter-condition': '1.26.11 1.27.8 1.28.4',
}

/**
 * A newer patch of the same minor, for upgrades: the stand-in's, or the real one that K3S_REAL_UPGRADE_DIR names.
 */
export async function nextReleaseImage(home: string, size?: number): Promise<ReleaseImage> {
  if (process.env.K3S_REAL_DIR === undefined) return await releaseImage(home, 'v1.31.5+k3s1', size)
  const real = process.env.K3S_REAL_UPGRADE_DIR
  if (real === undefined) throw new Error('upgrading a real k3s: name the newer release with K3S_REAL_UPGRADE_DIR')
  return await imageOfRelease(real, home, false)
}

async function standinRelease(home: string, tag: string, size: number | undefined): Promise<string> {
  await makeStandinRelease(home, { tag, arches: ['amd64'], ...(size === undefined ? {} : { size }) })
  return join(home, tag)
}

async function layRootfs(release: string, directory: string): Promise<void> {
  const archive = (await readdir(release)).find(name => name === 'k3s-airgap-images-amd64.tar.zst')
  if (archive === undefined) throw new Error(`"${release}" has no k3s-airgap-images-amd64.tar.zst`)
  const files = {
    'bin/k3s': join(release, 'k3s'),
    [`images/${archive}`]: join(release, archive),
    'images/k3s-images.txt': join(release, 'k3s-images.txt'),
    'scripts/k3s-install.sh': join(release, 'install.sh'),
    'scripts/cloudimg-node': fileURLToPath(new URL('../../scripts/cloudimg-node', import.meta.url)),
  }
  for (const [path, from] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await copyFile(from, join(directory, path))
  }
}

/** A copy of the image's directory with other content, as another image. */
export async function variantOf(
  source: ReleaseImage,
  to: string,
  files: Readonly<Record<string, string>>,
): Promise<DeployImage> {
  await cp(source.directory, to, { recursive: true })
  for (const [path, content] of Object.entries(files)) await writeFile(join(to, path), content)
  return await directoryImage(to, 'test/cluster:2')
}
