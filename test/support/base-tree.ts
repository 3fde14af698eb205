import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { requireProgram } from '../../scripts/lab/debian.ts'
import { must } from './command.ts'

/** Applets that the tests' commands call by name. */
const applets = [
  'sh',
  'cat',
  'chmod',
  'chown',
  'cp',
  'dd',
  'echo',
  'env',
  'id',
  'ln',
  'ls',
  'mkdir',
  'mkfifo',
  'mv',
  'rm',
  'sleep',
  'stat',
  'touch',
  'true',
  'wget',
  'hostname',
  'find',
  'grep',
  'ps',
  'tr',
  'wc',
  'sed',
  'mktemp',
  'basename',
  'dirname',
]

/**
 * A root of three megabytes: busybox and setcap with their libraries, passwd and group. Programs are this machine's, so
 * nothing is downloaded.
 */
export async function makeBaseTree(directory: string): Promise<void> {
  for (const name of ['bin', 'etc', 'tmp', 'root']) await mkdir(join(directory, name), { recursive: true })
  const busybox = await requireProgram({ program: 'busybox', package: 'busybox' })
  const setcap = await requireProgram({ program: 'setcap', package: 'libcap2-bin' })
  for (const program of [busybox, setcap]) await copyWithLibraries(program, directory)
  for (const applet of applets) await symlink('busybox', join(directory, 'bin', applet))
  await writeFile(
    join(directory, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n',
  )
  await writeFile(join(directory, 'etc/group'), 'root:x:0:\napp:x:1000:\nextra:x:77:app\n')
  await chmod(join(directory, 'tmp'), 0o1777)
}

async function copyWithLibraries(program: string, directory: string): Promise<void> {
  await copyFile(program, join(directory, 'bin', basename(program)))
  const listed = await must(['ldd', program]).catch(() => '')
  for (const [, library = ''] of listed.matchAll(/(?:=> |^\s*)(\/\S+)/gm)) {
    await mkdir(join(directory, dirname(library)), { recursive: true })
    await copyFile(library, join(directory, library))
  }
}
