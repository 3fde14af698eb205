import type { Context } from '../core/context.ts'
import { hexOf } from '../core/digest.ts'
import { formatPlatform, type Arch } from '../core/platform.ts'
import type { Place } from '../workload/discovery.ts'
import type { Bundle, BundleFile } from './bundle.ts'
import { type Gaps, lineOfText } from './gaps.ts'

const installer = 'scripts/cloudimg-node'

/** Of what the Metadata lists: programs, archives, upstream's installer, scripts and templates. Gives how many there are. */
export async function judgeListedFiles(bundle: Bundle, gaps: Gaps, ctx: Context): Promise<number> {
  const { artifacts, files } = bundle.metadata
  if (files === undefined) {
    const message = 'it does not list scripts and templates: one that is gone and that nothing names is not missed'
    gaps.doubt(message, { file: 'Metadata', line: 0, field: 'files' })
  }
  const text = (await bundle.readText('Metadata', ctx)) ?? ''
  const listed = [...artifacts, ...(files ?? [])]
  for (const { path, sha256 } of listed) {
    const place = { file: 'Metadata', line: lineOfText(text, JSON.stringify(path)), field: 'path' }
    const file = bundle.file(path)
    if (file === undefined) gaps.add('file', path, 'the build put it in, and it is gone', place)
    else if (hexOf(file.digest) !== sha256)
      gaps.add(
        'file',
        path,
        `the build put another one in: wanted sha256 ${sha256}, found ${hexOf(file.digest)}`,
        place,
      )
  }
  return listed.length
}

/** What the node installer takes from a rootfs of k3s. */
export async function judgeRuntimeFiles(bundle: Bundle, gaps: Gaps, ctx: Context): Promise<void> {
  const runtime = { file: 'Metadata', line: 0, field: 'runtime' }
  if (bundle.file(installer) === undefined) gaps.add('file', installer, 'hosts are turned into nodes by it', runtime)
  if (bundle.metadata.runtime !== 'k3s') return
  const text = (await bundle.readText(installer, ctx)) ?? ''
  const needs = [
    ['bin/k3s', true],
    // An installer of another's making may do without.
    ['scripts/k3s-install.sh', text.includes('scripts/k3s-install.sh')],
  ] as const
  for (const [path, isNeeded] of needs) {
    if (!isNeeded || bundle.file(path) !== undefined) continue
    const line = lineOfText(text, path)
    gaps.add('file', path, 'the node installer takes it', line === 0 ? runtime : { file: installer, line, field: '' })
  }
}

/** The files of sealer's applications, and that what LAUNCH names is there. */
export function judgeApplications(bundle: Bundle, launch: Place, gaps: Gaps): void {
  const { metadata } = bundle
  const { applications = [] } = metadata
  const known = new Set(applications.map(({ name }) => name))
  for (const name of metadata.launch?.applications ?? [])
    if (!known.has(name)) gaps.add('file', `application/apps/${name}`, 'LAUNCH starts it', launch)
  for (const { name, files } of applications)
    for (const file of files) {
      const path = `application/apps/${name}/${file}`
      if (!bundle.has(path)) gaps.add('file', path, `the application "${name}" is started by it`, launch)
    }
}

/** ELF e_machine (elf.h) of the machines that images are built for. */
const machines: Readonly<Record<number, Arch>> = { 62: 'amd64', 183: 'arm64', 40: 'arm', 22: 's390x' }
const names: Readonly<Record<number, string>> = { 3: '386', 21: 'ppc64le', 243: 'riscv64', 258: 'loong64' }

/** Programs must be for the bundle's machines. Gives how many there are. */
export async function judgeMachines(bundle: Bundle, gaps: Gaps, ctx: Context): Promise<number> {
  let programs = 0
  for (const file of bundle.files()) {
    if (!mayBeProgram(file)) continue
    ctx.signal.throwIfAborted()
    const machine = elfMachine(await bundle.head(file, 20, ctx))
    if (machine === undefined) continue
    programs++
    const { platform } = bundle
    if (machines[machine] === platform.arch) continue
    const found = machines[machine] ?? names[machine] ?? `ELF machine ${machine}`
    const why = `the program is for ${found}, the bundle for ${formatPlatform(platform)}`
    gaps.add('architecture', file.path, why, { file: file.path, line: 0, field: '' })
  }
  return programs
}

function mayBeProgram({ path, mode }: BundleFile): boolean {
  return !path.startsWith('images/') && ((mode & 0o111) !== 0 || /^(?:bin|cri)\//.test(path))
}

/** Undefined for what is no program. */
function elfMachine(head: Buffer): number | undefined {
  if (head.length < 20 || head.readUInt32BE(0) !== 0x7f454c46) return undefined
  return head[5] === 2 ? head.readUInt16BE(18) : head.readUInt16LE(18)
}
