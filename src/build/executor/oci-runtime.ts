import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { findProgram } from '../../io/find-program.ts'
import { releaseEngines, writeEngineNote } from './engine-note.ts'
import type { Availability, Executor, JobMount, RunJob, RunSession } from './executor.ts'
import { emulatorEntry, refuseUnknownEmulator } from './emulation.ts'
import { type Launch, type PlainRoot, PlainSession, refuseOtherUsers } from './plain-session.ts'
import { tryExecutor } from './try-executor.ts'
import { capabilities } from './unshare.ts'
import { makeWorkspace } from './workspace.ts'

export const crunExecutor: Executor = runtimeExecutor('crun', ['--cgroup-manager', 'disabled'])
export const runcExecutor: Executor = runtimeExecutor('runc', ['--rootless', 'true'])

/** A runtime by its command line, with a bundle for each command. Cgroups are left alone: no limit is asked for. */
function runtimeExecutor(name: 'crun' | 'runc', flags: readonly string[]): Executor {
  const find = (): Promise<string | undefined> => findProgram(name)
  return {
    name,
    probe: async (home, ctx) => await probe(home, ctx, name, await find(), flags),
    open: async home => {
      const program = await find()
      if (program === undefined) {
        throw new CloudimgError('EXECUTOR_UNAVAILABLE', `running a command with ${name}: it is not installed`)
      }
      return await openSession(home, program, flags)
    },
  }
}

async function probe(
  home: string,
  ctx: Context,
  name: string,
  program: string | undefined,
  flags: readonly string[],
): Promise<Availability> {
  if (program === undefined) return { ok: false, reason: `${name} is not installed` }
  const reason = await tryExecutor(() => openSession(home, program, flags), ctx)
  if (reason !== undefined) return { ok: false, reason }
  const owners = isRoot() ? 'all' : 'one'
  return {
    ok: true,
    owners,
    how: `${name} on a copy of the tree${isRoot() ? '' : ', in a user namespace of one user'}`,
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}

async function openSession(home: string, program: string, flags: readonly string[]): Promise<RunSession> {
  return new PlainSession(await makeWorkspace(home), {
    laying: { as: [], owners: isRoot() ? 'all' : 'one', hasDevices: isRoot() },
    launch: (root, job) => launch(program, flags, root, job),
    finish: root => releaseEngines(root.scratch),
  })
}

async function launch(program: string, flags: readonly string[], root: PlainRoot, job: RunJob): Promise<Launch> {
  if (!isRoot()) refuseOtherUsers(job, program)
  if (job.toolbox?.from !== 'host') refuseUnknownEmulator(await emulatorEntry(job.platform))
  const [state, id] = [join(root.scratch, 'state'), 'run']
  await writeFile(join(root.scratch, 'config.json'), JSON.stringify(specOf(root, job)), { mode: 0o600 })
  await writeEngineNote(root.scratch, 'container', { kind: 'runtime', program, root: state, id })
  const argv = [
    'setpriv',
    '--pdeathsig',
    'KILL',
    program,
    ...flags,
    '--root',
    state,
    'run',
    '--bundle',
    root.scratch,
    id,
  ]
  return { argv, env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', XDG_RUNTIME_DIR: root.scratch } }
}

/** runtime-spec's config.json. */
function specOf({ directory, mounts }: PlainRoot, job: RunJob): object {
  const own = capabilities.map(name => `CAP_${name.toUpperCase()}`)
  const namespaces = [
    'pid',
    'ipc',
    'uts',
    'mount',
    ...(job.network === 'none' ? ['network'] : []),
    ...(isRoot() ? [] : ['user']),
  ]
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
  return {
    ociVersion: '1.0.2',
    hostname: 'cloudimg',
    root: { path: directory },
    process: {
      terminal: false,
      user: {
        uid: job.user.uid,
        gid: job.user.gid,
        umask: 0o022,
        ...(isRoot() ? { additionalGids: job.user.groups } : {}),
      },
      args: job.argv,
      env: Object.entries(job.env).map(([name, value]) => `${name}=${value}`),
      cwd: job.workdir,
      capabilities: { bounding: own, effective: own, permitted: own },
      noNewPrivileges: false,
    },
    mounts: [...kernelMounts(job.network), ...mounts.map(specMount)],
    linux: {
      namespaces: namespaces.map(type => ({ type })),
      ...(isRoot()
        ? {}
        : {
            uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
            gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
          }),
      maskedPaths: ['/proc/kcore', '/proc/keys', '/proc/timer_list'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  }
}

function kernelMounts(network: RunJob['network']): readonly object[] {
  const safe = ['nosuid', 'noexec', 'nodev']
  // A network that is not ours shows only through the machine's own /sys.
  const sys =
    network === 'none'
      ? { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...safe, 'ro'] }
      : { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', 'ro'] }
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: safe },
    sys,
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=1m'] },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
    },
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777'] },
  ]
}

function specMount(mount: JobMount): object {
  const destination = `/${mount.target}`
  if (mount.kind === 'bind') {
    return {
      destination,
      type: 'bind',
      source: mount.source,
      options: ['rbind', ...(mount.readonly ? ['ro'] : ['rw'])],
    }
  }
  const size = mount.size === undefined ? [] : [`size=${mount.size}`]
  return { destination, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777', ...size] }
}
