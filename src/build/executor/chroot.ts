import { mkdir, rename, rm, symlink, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { run } from '../../io/exec.ts'
import { lstatIfPresent } from '../../io/files.ts'
import { findProgram } from '../../io/find-program.ts'
import type { Availability, Executor, JobMount, RunJob } from './executor.ts'
import { emulatorEntry, refuseUnknownEmulator } from './emulation.ts'
import { type Launch, type PlainRoot, PlainSession } from './plain-session.ts'
import { killInside, makeWorkspace } from './workspace.ts'

const quiet: Context = { signal: new AbortController().signal, events: () => {} }

/**
 * Another root and nothing more, for root in a container that may neither mount nor make namespaces. What others mount is
 * copied or moved into place; processes, network and host name are the machine's.
 */
export const chrootExecutor: Executor = {
  name: 'chroot',
  probe,
  open: async home =>
    new PlainSession(await makeWorkspace(home), {
      laying: { as: [], owners: 'all', hasDevices: false },
      launch,
      finish,
    }),
}

async function probe(_home: string, ctx: Context): Promise<Availability> {
  if (process.getuid?.() !== 0) return { ok: false, reason: 'only root may change its root' }
  const ended = await run(['unshare', '--root', '/', '--', 'true'], {}, ctx).catch(() => undefined)
  if (ended?.code !== 0)
    return { ok: false, reason: `this root may not: ${ended?.stderr.trim() ?? 'unshare is missing'}` }
  return {
    ok: true,
    owners: 'all',
    how: 'a copy of the tree as root directory; neither network nor processes are apart',
  }
}

async function launch(root: PlainRoot, job: RunJob): Promise<Launch> {
  if (job.toolbox?.from === 'host') {
    throw new CloudimgError(
      'EXECUTOR_UNAVAILABLE',
      'running a command with chroot: it cannot show the tree to this machine’s programs',
      {
        hint: 'name an image with a shell: --toolbox IMAGE',
      },
    )
  }
  refuseUnknownEmulator(await emulatorEntry(job.platform))
  for (const mount of root.mounts) await putInPlace(root, mount)
  await makeDevices(root.directory)
  const [unshare, setpriv] = [await findProgram('unshare'), await findProgram('setpriv')]
  const { user, env } = job
  const groups = ['--groups', user.groups.join(',')]
  const uid = user.uid === 0 ? [] : ['--setuid', String(user.uid)]
  const enter = [unshare ?? 'unshare', '--root', root.directory, '--wd', job.workdir, ...uid, '--', ...job.argv]
  // As a shell would have it: no file is writable by others unless the command says so.
  const masked = ['/bin/sh', '-c', 'umask 022; exec "$@"', 'sh']
  const ended = [setpriv ?? 'setpriv', '--pdeathsig', 'KILL', '--regid', String(user.gid), ...groups]
  return { argv: [...masked, ...ended, ...enter], env, onExit: () => void killInside(root.directory) }
}

/** What may be written is moved here, so that it is the same thing; all else is copied. */
async function putInPlace({ directory }: PlainRoot, mount: JobMount): Promise<void> {
  const target = join(directory, mount.target)
  await rm(target, { recursive: true, force: true })
  await mkdir(dirname(target), { recursive: true })
  if (mount.kind === 'tmpfs') {
    await mkdir(target)
    return
  }
  if (isMoved(mount)) {
    await rename(mount.source, target)
    await symlink(target, mount.source)
  } else await must(['cp', '-a', '--', mount.source, target])
}

function isMoved(mount: Extract<JobMount, { kind: 'bind' }>): boolean {
  return mount.type === 'directory' && !mount.readonly
}

async function finish({ directory, mounts }: PlainRoot): Promise<void> {
  await killInside(directory)
  for (const mount of mounts.toReversed()) {
    if (mount.kind !== 'bind' || !isMoved(mount) || (await lstatIfPresent(mount.source))?.isSymbolicLink() !== true)
      continue
    await unlink(mount.source)
    await rename(join(directory, mount.target), mount.source)
  }
}

const devices = { null: [1, 3], zero: [1, 5], full: [1, 7], random: [1, 8], urandom: [1, 9], tty: [5, 0] } as const

async function makeDevices(root: string): Promise<void> {
  await mkdir(join(root, 'dev'), { recursive: true })
  for (const [name, [major, minor]] of Object.entries(devices)) {
    const path = join(root, 'dev', name)
    if ((await lstatIfPresent(path)) === undefined)
      await must(['mknod', '-m', '666', path, 'c', String(major), String(minor)])
  }
}

async function must(argv: readonly string[]): Promise<void> {
  const { code, stderr } = await run(argv, {}, quiet)
  if (code !== 0) throw new CloudimgError('EXECUTOR_UNAVAILABLE', `preparing a root for chroot: ${stderr.trim()}`)
}
