import { readdir, readFile } from 'node:fs/promises'
import { CloudimgError } from '../../core/error.ts'
import { formatPlatform, hostPlatform, type Platform } from '../../core/platform.ts'
import { findProgram } from '../../io/find-program.ts'

/** How programs of another architecture run here. */
export interface Emulation {
  /** What binfmt_misc has to be told in a namespace of our own; undefined where this machine knows already. */
  readonly register: string | undefined
  readonly hint: string
}

interface ElfKind {
  readonly emulator: string
  readonly bits: 1 | 2
  readonly order: 1 | 2
  readonly machine: number
}

const kinds: Readonly<Record<string, ElfKind>> = {
  amd64: { emulator: 'x86_64', bits: 2, order: 1, machine: 0x3e },
  arm64: { emulator: 'aarch64', bits: 2, order: 1, machine: 0xb7 },
  arm: { emulator: 'arm', bits: 1, order: 1, machine: 0x28 },
  s390x: { emulator: 's390x', bits: 2, order: 2, machine: 0x16 },
}

const binfmt = '/proc/sys/fs/binfmt_misc'

/** Undefined where this machine runs them itself. @throws EXECUTOR_UNAVAILABLE where nothing runs them. */
export async function emulatorEntry(platform: Platform): Promise<Emulation | undefined> {
  if (platform.arch === hostPlatform().arch) return undefined
  const kind = kinds[platform.arch]
  const hint =
    'install qemu-user-static (Linux 6.7 or later, or with binfmt set up), or build on a machine of that architecture and join the images: cloudimg index create'
  if (kind === undefined) throw unavailable(platform, hint)
  if (await isKnownHere(kind)) return { register: undefined, hint }
  const emulator = await findProgram(`qemu-${kind.emulator}-static`)
  if (emulator === undefined) throw unavailable(platform, hint)
  return { register: registration(kind, emulator), hint }
}

function unavailable(platform: Platform, hint: string): CloudimgError {
  const here = formatPlatform(hostPlatform())
  return new CloudimgError(
    'EXECUTOR_UNAVAILABLE',
    `running a program of ${formatPlatform(platform)}: this machine is ${here}, and has no emulator for it`,
    { hint },
  )
}

/** An emulator that this machine opened once for all (flag F): it need not be in the tree. */
async function isKnownHere({ emulator }: ElfKind): Promise<boolean> {
  const names = await readdir(binfmt).catch(() => [])
  for (const name of names.filter(name => name.includes(emulator))) {
    const text = await readFile(`${binfmt}/${name}`, 'utf8').catch(() => '')
    if (text.startsWith('enabled') && /^flags: .*F/m.test(text)) return true
  }
  return false
}

/** `:name:M:offset:magic:mask:interpreter:flags` (Documentation/admin-guide/binfmt-misc.rst): the head of an ELF program. */
function registration({ emulator, bits, order, machine }: ElfKind, path: string): string {
  const half = (value: number): readonly number[] => (order === 1 ? [value, 0] : [0, value])
  const magic = [0x7f, 0x45, 0x4c, 0x46, bits, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...half(2), ...half(machine)]
  // Programs of type 2 (at a fixed place) and 3 (anywhere), of any ABI.
  const mask = [...Array<number>(7).fill(0xff), 0, ...Array<number>(8).fill(0xff), 0xfe, 0xff, 0xff, 0xff]
  if (order === 2) mask.splice(16, 2, 0xff, 0xfe)
  const text = (bytes: readonly number[]): string =>
    bytes.map(byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
  return `:cloudimg-${emulator}:M::${text(magic)}:${text(mask)}:${path}:F`
}

/** For executors in whose namespaces no emulator can be made known. @throws EXECUTOR_UNAVAILABLE. */
export function refuseUnknownEmulator(emulation: Emulation | undefined): void {
  if (emulation?.register === undefined) return
  const doing = 'running a program of another architecture'
  throw new CloudimgError('EXECUTOR_UNAVAILABLE', `${doing}: binfmt_misc of this machine knows no emulator for it`, {
    hint: 'set up binfmt for qemu, or build with --executor unshare',
  })
}
