import type { Context } from '../../core/context.ts'
import { findProgram } from '../../io/find-program.ts'
import type { Availability, Executor, JobMount, RunJob, RunSession } from './executor.ts'
import { emulatorEntry, refuseUnknownEmulator } from './emulation.ts'
import { type Launch, type PlainRoot, PlainSession, refuseOtherUsers } from './plain-session.ts'
import { tryExecutor } from './try-executor.ts'
import { capabilities } from './unshare.ts'
import { CloudimgError } from '../../core/error.ts'
import { makeWorkspace } from './workspace.ts'

/** bubblewrap: for machines where it alone may make user namespaces. */
export const bubblewrapExecutor: Executor = {
  name: 'bubblewrap',
  probe,
  open: async home => {
    const bwrap = await findProgram('bwrap')
    if (bwrap === undefined)
      throw new CloudimgError('EXECUTOR_UNAVAILABLE', `running a command with bubblewrap: ${missing}`)
    return await openSession(home, bwrap)
  },
}

const missing = 'bwrap is not installed'

async function probe(home: string, ctx: Context): Promise<Availability> {
  const bwrap = await findProgram('bwrap')
  if (bwrap === undefined) return { ok: false, reason: missing }
  const reason = await tryExecutor(() => openSession(home, bwrap), ctx)
  if (reason !== undefined) return { ok: false, reason }
  const owners = isRoot() ? 'all' : 'one'
  return { ok: true, owners, how: `bwrap on a copy of the tree${isRoot() ? '' : ', in a user namespace of one user'}` }
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}

async function openSession(home: string, bwrap: string): Promise<RunSession> {
  const asRoot = ['--unshare-user', '--uid', '0', '--gid', '0', '--cap-add', 'ALL', '--dev-bind', '/', '/', '--']
  return new PlainSession(await makeWorkspace(home), {
    laying: { as: isRoot() ? [] : [bwrap, ...asRoot], owners: isRoot() ? 'all' : 'one', hasDevices: isRoot() },
    launch: (root, job) => launch(bwrap, root, job),
  })
}

async function launch(bwrap: string, { directory, mounts }: PlainRoot, job: RunJob): Promise<Launch> {
  refuseOtherUsers(job, 'bubblewrap')
  if (job.toolbox?.from !== 'host') refuseUnknownEmulator(await emulatorEntry(job.platform))
  const user = isRoot() ? [] : ['--unshare-user', '--uid', '0', '--gid', '0']
  const network = job.network === 'none' ? ['--unshare-net'] : []
  const argv = [
    bwrap,
    ...user,
    '--unshare-pid',
    '--unshare-ipc',
    '--unshare-uts',
    ...network,
    '--die-with-parent',
    '--new-session',
    '--hostname',
    'cloudimg',
    '--cap-drop',
    'ALL',
    ...capabilities.flatMap(name => ['--cap-add', `CAP_${name.toUpperCase()}`]),
    '--bind',
    directory,
    '/',
    '--proc',
    '/proc',
    '--dev',
    '/dev',
    '--ro-bind',
    '/sys',
    '/sys',
    ...mounts.flatMap(mountFlags),
    '--chdir',
    job.workdir,
    '--unsetenv',
    'PWD',
    '--',
    ...job.argv,
  ]
  return { argv, env: job.env }
}

function mountFlags(mount: JobMount): readonly string[] {
  const target = `/${mount.target}`
  if (mount.kind === 'bind') return [mount.readonly ? '--ro-bind' : '--bind', mount.source, target]
  return [...(mount.size === undefined ? [] : ['--size', String(mount.size)]), '--tmpfs', target]
}
