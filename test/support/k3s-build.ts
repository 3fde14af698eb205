import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { BuildResult } from '../../src/build/build-image.ts'
import { cloudimgJson, type CloudimgPlace } from './cloudimg.ts'
import { tinyVersion } from './tiny-release.ts'

const ownKubefile = join(import.meta.dirname, '../../kubefiles/k3s/Kubefile')

export interface K3sBuild {
  /** Takes a copy of kubefiles/k3s/Kubefile; the lock comes to lie beside it. */
  readonly directory: string
  readonly context: string
  /** For `--mirror k3s=`: a directory or a URL. */
  readonly mirror: string
  readonly tag?: string
  readonly platforms?: string
  readonly flags?: readonly string[]
}

/** What `build --json` answers. */
export type BuildAnswer = BuildResult & {
  readonly lock: { readonly path: string; readonly changed: boolean }
  readonly tags: readonly string[]
}

/** The arguments of the main job: kubefiles/k3s from a release directory, for two architectures. */
export async function k3sBuildArgs(build: K3sBuild): Promise<readonly string[]> {
  const kubefile = join(build.directory, 'Kubefile')
  await mkdir(build.directory, { recursive: true })
  await copyFile(ownKubefile, kubefile)
  const options: Readonly<Record<string, string>> = {
    '-f': kubefile,
    '--build-arg': `K3S_VERSION=${tinyVersion}`,
    '--mirror': `k3s=${build.mirror}`,
    '-t': build.tag ?? 'k3s:1',
    '--platform': build.platforms ?? 'linux/amd64,linux/arm64',
  }
  return ['build', ...Object.entries(options).flat(), ...(build.flags ?? []), build.context]
}

export async function buildK3s(build: K3sBuild, place: CloudimgPlace): Promise<BuildAnswer> {
  return await cloudimgJson<BuildAnswer>(await k3sBuildArgs(build), place)
}
