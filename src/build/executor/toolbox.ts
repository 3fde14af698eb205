import { copyFile, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Platform } from '../../core/platform.ts'
import { lstatIfPresent, statIfPresent } from '../../io/files.ts'
import { packageFile } from '../../io/package-file.ts'
import type { JobMount, Toolbox } from './executor.ts'
import { rootfsPath } from './root-layout.ts'

/** Where the toolbox's own programs and the way to the builder lie. */
const ownDirectory = 'run/cloudimg'
export const deskName = 'desk'

/** The programs that are cloudimg's own there. */
const programs: Readonly<Record<string, string>> = { curl: 'fetch', wget: 'fetch', systemctl: 'systemctl' }

const script = (name: string): string => packageFile(`scripts/run/${name}`)

/** What a command finds there unless its Kubefile says otherwise: installers install into the tree, and start nothing. */
export function toolboxEnvironment(platform: Platform): Readonly<Record<string, string>> {
  return {
    ARCH: platform.arch,
    INSTALL_K3S_BIN_DIR: `/${rootfsPath}/bin`,
    // Whatever this machine has on its path.
    INSTALL_K3S_SYMLINK: 'force',
    INSTALL_K3S_SKIP_START: 'true',
    INSTALL_K3S_SKIP_ENABLE: 'true',
    INSTALL_K3S_SKIP_SELINUX_RPM: 'true',
    INSTALL_K3S_SELINUX_WARN: 'true',
    INSTALL_K3S_SYSTEMD_DIR: `/${ownDirectory}/systemd`,
  }
}

/** The path on which cloudimg's own programs come first. */
export function toolboxPath(path: string): string {
  return `/${ownDirectory}/bin:${path}`
}

/** Makes the directory of the toolbox's own programs; what is mounted where, those of the same names in the toolbox included. */
export async function layOwnPrograms(directory: string, toolbox: Toolbox): Promise<readonly JobMount[]> {
  await mkdir(join(directory, 'bin'), { recursive: true })
  await mkdir(join(directory, 'systemd'))
  for (const name of new Set(Object.values(programs))) await copyFile(script(name), join(directory, name))
  for (const [name, source] of Object.entries(programs)) await symlink(`../${source}`, join(directory, 'bin', name))
  const own: JobMount = { kind: 'bind', source: directory, target: ownDirectory, type: 'directory', readonly: false }
  const others: JobMount[] = []
  for (const [name, source] of Object.entries(programs)) {
    const target = `usr/bin/${name}`
    if (!(await isFile(toolbox, target))) continue
    others.push({ kind: 'bind', source: join(directory, source), target, type: 'file', readonly: true })
  }
  return [own, ...others]
}

// `curl` by its whole path would open a connection that is not there.
async function isFile(toolbox: Toolbox, path: string): Promise<boolean> {
  if (toolbox.from === 'image') return toolbox.content.tree.get(path)?.type === 'file'
  if ((await lstatIfPresent(`/${path}`))?.isSymbolicLink() === true) return false
  return (await statIfPresent(`/${path}`))?.isFile() === true
}
