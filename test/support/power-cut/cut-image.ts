import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { cloudimgJson, type CloudimgPlace } from '../cloudimg.ts'
import { makeStandinRelease } from '../standin-release.ts'

const checkout = join(import.meta.dirname, '../../..')
const standinTag = 'v1.31.4+k3s1'

/** A k3s cluster image whose installer stops where a test says, once the host is armed; unarmed it is as any other. */
export interface CutImage {
  readonly reference: string
  readonly version: string
  readonly standIn: boolean
  /** Of the system images that every node shall have. */
  readonly images: readonly string[]
  /** The operator's machine: its store has the image. */
  readonly place: CloudimgPlace
}

/** Built by `cloudimg build` from the stand-in's release, or from the real one that K3S_REAL_DIR names (`…/v1.21.2+k3s1`). */
export async function buildCutImage(home: string): Promise<CutImage> {
  const real = process.env.K3S_REAL_DIR
  const release = real ?? (await standinRelease(join(home, 'release')))
  const version = basename(release)
  const context = join(home, 'context')
  await mkdir(join(context, 'scripts'), { recursive: true })
  const installer = await readFile(join(checkout, 'scripts/cloudimg-node'), 'utf8')
  const upstream = await readFile(join(release, 'install.sh'), 'utf8')
  await writeFile(join(context, 'scripts/cloudimg-node'), hookInstaller(installer), { mode: 0o755 })
  await writeFile(join(context, 'scripts/k3s-install.sh'), hookUpstream(upstream), { mode: 0o755 })
  await copyFile(join(checkout, 'kubefiles/k3s/Kubefile'), join(home, 'Kubefile'))
  const place = { home: join(home, 'operator') }
  const reference = 'test/power-cut:1'
  const kubefile = ['-f', join(home, 'Kubefile'), '--build-arg', `K3S_VERSION=${version}`]
  const source = ['--mirror', `k3s=${dirname(release)}`, '--platform', 'linux/amd64', context]
  await cloudimgJson(['build', '-t', reference, ...kubefile, ...source], place)
  const images = (await readFile(join(release, 'k3s-images.txt'), 'utf8')).trim().split('\n')
  return { reference, version, standIn: real === undefined, images, place }
}

async function standinRelease(home: string): Promise<string> {
  // Smaller than a real k3s, but large enough to travel as a file of its own.
  await makeStandinRelease(home, { tag: standinTag, arches: ['amd64'], size: 8 * 1024 * 1024 })
  return join(home, standinTag)
}

function hook(point: string): string {
  return `if [ -f /run/power-cut/hook ]; then cut_point="${point}"; . /run/power-cut/hook; fi`
}

/** After every write: `settle TEMP PATH`, and the loop of `drop`. */
function hookInstaller(text: string): string {
  const pointOf = (indent: string): string => (indent.length === 2 ? '$VERB $2' : '$VERB drop $drop_path')
  const hooked = text.replaceAll(/^( *): write-point$/gm, (_, indent: string) => indent + hook(pointOf(indent)))
  return expectHooks(hooked, 2)
}

const upstreamSteps =
  /^ *(?:create_symlinks|create_killall|create_uninstall|systemd_disable|create_env_file|create_service_file|service_enable_and_start|make_links|write_killall|write_uninstall|drop_unit|write_environment|write_unit|enable_and_start)$/gm

/** After every step of the list at its end; the functions above it stay as they are. */
function hookUpstream(text: string): string {
  const at = text.lastIndexOf('\neval ')
  const hooked = text.slice(at).replaceAll(upstreamSteps, step => `${step}\n${hook(`install.sh ${step.trim()}`)}`)
  return text.slice(0, at) + expectHooks(hooked, 7)
}

function expectHooks(text: string, wanted: number): string {
  const found = text.split('[ -f /run/power-cut/hook ]').length - 1
  if (found !== wanted) throw new Error(`hooking a script: ${found} places were found, not ${wanted}`)
  return text
}
