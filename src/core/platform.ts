import { arch as nodeArch } from 'node:process'
import { CloudimgError } from './error.ts'

export type Arch = 'amd64' | 'arm64' | 'arm' | 's390x'

export interface Platform {
  readonly os: 'linux'
  readonly arch: Arch
  /** Only arm has one: v6 or v7. arm64/v8 is plain arm64. */
  readonly variant?: string
}

/** What a descriptor says; foreign indexes name systems and architectures that we do not build for. */
export interface DescriptorPlatform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

const aliases: Readonly<Record<string, Arch>> = {
  amd64: 'amd64',
  x86_64: 'amd64',
  'x86-64': 'amd64',
  x64: 'amd64',
  arm64: 'arm64',
  aarch64: 'arm64',
  arm: 'arm',
  armhf: 'arm',
  armv7l: 'arm',
  s390x: 's390x',
}

/** `linux/amd64`, `arm64`, `linux/arm/v7`, `aarch64` … @throws USAGE for a system or architecture that cloudimg does not know. */
export function parsePlatform(text: string): Platform {
  const parts = text.trim().toLowerCase().split('/')
  const [os, arch, variant] = parts.length === 1 ? ['linux', parts[0], undefined] : parts
  const known = aliases[arch ?? '']
  if (os !== 'linux' || known === undefined || parts.length > 3) {
    throw new CloudimgError('USAGE', `reading platform "${text}": unknown system or architecture`, {
      hint: 'use linux/amd64, linux/arm64 or linux/arm/v7',
    })
  }
  return normalisePlatform({ os, architecture: known, ...(variant === undefined ? {} : { variant }) }) as Platform
}

export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.arch, platform.variant].filter(part => part !== undefined).join('/')
}

/** The platform as descriptors and image configs spell it. */
export function toDescriptorPlatform(platform: Platform): DescriptorPlatform {
  return {
    os: platform.os,
    architecture: platform.arch,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
  }
}

/** Undefined where the descriptor's system or architecture is none of ours. arm64/v8 is arm64, arm alone is arm/v7. */
export function normalisePlatform(platform: DescriptorPlatform): Platform | undefined {
  const arch = aliases[platform.architecture]
  if (platform.os !== 'linux' || arch === undefined) return undefined
  if (arch !== 'arm') return { os: 'linux', arch }
  return {
    os: 'linux',
    arch,
    variant: platform.variant === undefined || platform.variant === '' ? 'v7' : platform.variant,
  }
}

export function samePlatform(a: Platform, b: Platform): boolean {
  return a.os === b.os && a.arch === b.arch && a.variant === b.variant
}

/** The architecture this program runs on; a developer's mac still builds Linux images. */
export function hostPlatform(): Platform {
  const arch = aliases[nodeArch]
  if (arch === undefined)
    throw new CloudimgError('USAGE', `no image platform for a ${nodeArch} machine`, {
      hint: 'name one with --platform',
    })
  return normalisePlatform({ os: 'linux', architecture: arch }) as Platform
}
