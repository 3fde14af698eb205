import { formatPlatform, type Platform } from '../core/platform.ts'

/** What an artifact is for; `other` is only laid down. */
export type ArtifactRole =
  'binary' | 'image-archive' | 'image-list' | 'installer' | 'release-notes' | 'checksums' | 'other'

export interface Target {
  /** In the rootfs, relative. */
  readonly path: string
  readonly mode: number
}

/** One file at upstream. */
export interface ArtifactFile {
  /** `k3s-airgap-images-arm64.tar.zst` */
  readonly asset: string
  /** Upstream's own URL of it: what the lock calls it, whichever place served it. */
  readonly locator: string
  /** Upstream's places, tried in order; none for what only a mirror can have. */
  readonly sources: readonly URL[]
  /** Where it lies in the rootfs; undefined for what is read while building but not laid down. */
  readonly target: Target | undefined
}

/** A part of a runtime's release: what it is, not where it is. */
export interface Artifact {
  /** The template that asks for it; a mirror `NAME=BASE` of that name serves it. */
  readonly template: string
  /** `k3s`, `k3s-airgap-images`, `install.sh` */
  readonly name: string
  readonly role: ArtifactRole
  /** `v1.31.4+k3s1`; empty for a template without versions. */
  readonly version: string
  readonly platform: Platform | 'any'
  /** Forms of the same content, best first: the first that exists is taken. */
  readonly forms: readonly [ArtifactFile, ...ArtifactFile[]]
  /** Upstream's file that says what each form hashes to; undefined where upstream says nothing. */
  readonly checksums: ArtifactFile | undefined
  /** Whether a release without it is whole. */
  readonly optional: boolean
}

/** `k3s v1.31.4+k3s1 (linux/arm64)`, for people. */
export function describeArtifact(artifact: Pick<Artifact, 'name' | 'version' | 'platform'>): string {
  const version = artifact.version === '' ? '' : ` ${artifact.version}`
  return `${artifact.name}${version}${artifact.platform === 'any' ? '' : ` (${formatPlatform(artifact.platform)})`}`
}

/** As the lock writes it. */
export function platformKey(platform: Platform | 'any'): string {
  return platform === 'any' ? 'any' : formatPlatform(platform)
}
