import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { run } from '../../io/exec.ts'
import { lstatIfPresent } from '../../io/files.ts'
import { findProgram } from '../../io/find-program.ts'
import { readProgram } from '../../io/read-program.ts'
import type { LayerEntry } from '../tree.ts'
import { packageFile } from '../../io/package-file.ts'
import { emulatorEntry, type Emulation } from './emulation.ts'
import type {
  Availability,
  Executor,
  JobMount,
  Owners,
  RunEnd,
  RunJob,
  RunResult,
  RunSession,
  RunWatch,
} from './executor.ts'
import { type Laying, layEntries, readingTar, systemPath } from './lay-tree.ts'
import { OverlayLowers } from './overlay-lowers.ts'
import { layContent, layToolbox, rootfsPath } from './root-layout.ts'
import { tryExecutor } from './try-executor.ts'
import { makeWorkspace, removeWorkspace } from './workspace.ts'

const script = (name: string): string => packageFile(`scripts/run/${name}`)
const [enter, sameUsers] = [script('enter'), script('same-users')]

/** What docker leaves to root in a container. */
export const capabilities = [
  'chown',
  'dac_override',
  'fowner',
  'fsetid',
  'kill',
  'setgid',
  'setuid',
  'setpcap',
  'net_bind_service',
  'net_raw',
  'sys_chroot',
  'mknod',
  'audit_write',
  'setfcap',
]

/** How this user gets namespaces. */
interface Way {
  /** Of `unshare`: none for root. */
  readonly flags: readonly string[]
  readonly owners: Owners
  readonly overlay: boolean
}

/** Linux namespaces by util-linux: nothing to install, nothing that runs before or after. */
export const unshareExecutor: Executor = {
  name: 'unshare',
  probe: async (home, ctx) => (await findWay(home, ctx)).availability,
  open: async (home, ctx) => {
    const { way, availability } = await findWay(home, ctx)
    if (way === undefined) throw unavailable(availability)
    return new UnshareSession(await makeWorkspace(home), way, await findTools())
  },
}

function unavailable(availability: Availability): CloudimgError {
  const { reason, hint } = availability.ok ? { reason: '', hint: undefined } : availability
  return new CloudimgError(
    'EXECUTOR_UNAVAILABLE',
    `running a command with unshare: ${reason}`,
    hint === undefined ? {} : { hint },
  )
}

interface Tools {
  readonly unshare: string
  readonly setpriv: string
  readonly env: string
}

async function findTools(): Promise<Tools> {
  const [unshare, setpriv, env] = await Promise.all(['unshare', 'setpriv', 'env'].map(findProgram))
  if (unshare === undefined || setpriv === undefined || env === undefined || (await findProgram('tar')) === undefined) {
    throw new CloudimgError(
      'EXECUTOR_UNAVAILABLE',
      'looking for unshare, setpriv, env and tar: one of them is missing',
      {
        hint: 'install util-linux, coreutils and tar',
      },
    )
  }
  return { unshare, setpriv, env }
}

let found: Promise<{ readonly way: Way | undefined; readonly availability: Availability }> | undefined

function findWay(home: string, ctx: Context): NonNullable<typeof found> {
  found ??= lookForWay(home, ctx)
  found.catch(() => (found = undefined))
  return found
}

export const subordinateHint =
  'as root: install uidmap, and give your user ids of its own: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER'

/** Tries: with all owners before one, with an overlay before a copy of the tree. */
async function lookForWay(
  home: string,
  ctx: Context,
): Promise<{ readonly way: Way | undefined; readonly availability: Availability }> {
  const tools = await findTools().catch((error: unknown) => error)
  if (isCloudimgError(tools)) return { way: undefined, availability: { ok: false, reason: tools.message } }
  const isRoot = process.getuid?.() === 0
  const candidates: readonly (readonly [flags: readonly string[], owners: Owners])[] = isRoot
    ? [[[], 'all']]
    : [
        [['--user', '--map-auto', '--map-root-user'], 'all'],
        [['--user', '--map-root-user'], 'one'],
      ]
  const reasons: string[] = []
  for (const [flags, owners] of candidates) {
    for (const overlay of [true, false]) {
      const way = { flags, owners, overlay }
      const open = async (): Promise<RunSession> => new UnshareSession(await makeWorkspace(home), way, tools as Tools)
      const reason = await tryExecutor(open, ctx)
      if (reason === undefined) return { way, availability: { ok: true, owners, how: describe(way, isRoot) } }
      reasons.push(reason)
    }
  }
  return { way: undefined, availability: { ok: false, reason: reasons.at(-1) ?? '', ...(await namespaceHint()) } }
}

function describe({ owners, overlay }: Way, isRoot: boolean): string {
  const who = isRoot ? 'as root' : owners === 'all' ? 'in a user namespace' : 'in a user namespace of one user'
  return `namespaces ${who}, ${overlay ? 'overlay' : 'on a copy of the tree'}`
}

async function namespaceHint(): Promise<{ readonly hint?: string }> {
  const restricted = await readFile('/proc/sys/kernel/apparmor_restrict_unprivileged_userns', 'utf8').catch(() => '0')
  if (restricted.trim() !== '1') return {}
  return {
    hint: 'this kernel lets AppArmor forbid user namespaces: allow them for unshare, or build with --executor docker',
  }
}

class UnshareSession implements RunSession {
  readonly directory: string
  readonly owners: Owners
  readonly #way: Way
  readonly #tools: Tools
  readonly #laying: Laying
  readonly #lowers: OverlayLowers
  #runs = 0

  constructor(directory: string, way: Way, tools: Tools) {
    this.directory = directory
    this.owners = way.owners
    this.#way = way
    this.#tools = tools
    this.#laying = {
      as: way.flags.length === 0 ? [] : [tools.unshare, ...way.flags, '--'],
      owners: way.owners,
      hasDevices: way.flags.length === 0,
      links: way.overlay,
    }
    this.#lowers = new OverlayLowers(directory, this.#laying)
  }

  async lay(content: Parameters<RunSession['lay']>[0], directory: string, ctx: Context): Promise<void> {
    await layContent(content, directory, { ...this.#laying, links: true }, ctx)
  }

  changed(entries: readonly LayerEntry[]): void {
    this.#lowers.changed(entries)
  }

  async close(): Promise<void> {
    await removeWorkspace(this.directory)
  }

  async run(job: RunJob, watch: RunWatch, ctx: Context): Promise<RunEnd> {
    const number = ++this.#runs
    this.#refuseUser(job)
    const at = (name: string): string => join(this.directory, `${name}-${number}`)
    const tree = await this.#layTree(job, at, ctx)
    const box = at('box')
    const toolMounts = job.toolbox === undefined ? [] : await layToolbox(job, job.toolbox, box, this.#laying, ctx)
    const root = job.toolbox === undefined ? tree.path : box
    const emulation = job.toolbox?.from === 'host' ? undefined : await emulatorEntry(job.platform)
    const ready = at('ready')
    const operations = [
      ...hostnameOperations,
      ...(job.network === 'none' ? ['loopback', '-'] : []),
      ...(emulation?.register === undefined ? [] : ['binfmt', at('binfmt'), emulation.register]),
      ...tree.operations(job.toolbox === undefined ? root : join(box, rootfsPath)),
      ...kernelOperations(root),
      ...[...toolMounts, ...job.mounts].flatMap(mount => mountOperations(root, mount)),
      'ready',
      ready,
    ]
    const argv = [
      ...(await this.#namespaceArgv(job, emulation, at)),
      '--',
      'sh',
      enter,
      ...operations,
      '--',
      ...this.#commandArgv(job, root),
    ]
    const output = { maxOutputBytes: 16_384, onOutput: watch.onOutput }
    const env = processEnvironment(job.env)
    const result = await run(argv, { env, cwd: this.directory, killSignal: 'SIGKILL', ...output }, ctx)
    if ((await lstatIfPresent(ready)) === undefined) {
      throw new CloudimgError(
        'EXECUTOR_UNAVAILABLE',
        `entering the tree with unshare: ${result.stderr.trim()}`,
        emulation === undefined ? {} : { hint: emulation.hint },
      )
    }
    return {
      code: result.code,
      readResult: async take => {
        const tar = readProgram(readingTar(tree.result, this.#laying.as), ctx)
        const kind = this.#way.overlay ? 'upper' : 'merged'
        const { owners, hasDevices } = this.#laying
        return await take({ kind, owners, hasDevices, tar } satisfies RunResult)
      },
    }
  }

  /** Where the tree is, what makes it be there, and where what a command leaves will be. */
  async #layTree(
    job: RunJob,
    at: (name: string) => string,
    ctx: Context,
  ): Promise<{ readonly path: string; readonly result: string; operations(target: string): readonly string[] }> {
    const path = at('tree')
    if (!this.#way.overlay) {
      await layEntries(job.tree.read, job.skeleton, path, this.#laying, ctx)
      await layContent(job.tree, path, this.#laying, ctx)
      return { path, result: path, operations: target => (target === path ? [] : ['bind', target, path]) }
    }
    const emulated = job.toolbox?.from !== 'host' && (await emulatorEntry(job.platform))?.register !== undefined
    const [skeleton, upper, work] = [at('skeleton'), at('upper'), at('work')]
    await layEntries(job.tree.read, job.skeleton, skeleton, this.#laying, ctx)
    const lowers = await this.#lowers.lay(job.tree, ctx)
    for (const directory of [upper, work, path]) await mkdir(directory, { mode: 0o755 })
    // Names are relative: the kernel takes a page of options at most, and no colons in them.
    const [upperName, workName, ...names] = [upper, work, ...lowers.toReversed(), skeleton].map(name =>
      name.slice(this.directory.length + 1),
    )
    // What a user namespace allows has no redirects anyway, and refuses to be told so.
    const features = this.#way.flags.length > 0 || emulated ? 'userxattr' : 'redirect_dir=off,metacopy=off,index=off'
    const options = `${features},lowerdir=${names.join(':')},upperdir=${upperName},workdir=${workName}`
    return { path, result: upper, operations: target => ['overlay', target, options] }
  }

  /** The namespaces, and the end of all that is in them when this process ends. */
  async #namespaceArgv(
    job: RunJob,
    emulation: Emulation | undefined,
    at: (name: string) => string,
  ): Promise<readonly string[]> {
    const { setpriv, unshare } = this.#tools
    const { flags } = this.#way
    const namespaces = ['--mount', '--pid', '--fork', '--ipc', '--uts', ...(job.network === 'none' ? ['--net'] : [])]
    const inside = [unshare, ...flags, ...namespaces, '--propagation', 'private', '--kill-child=SIGKILL']
    const ended = [setpriv, '--pdeathsig', 'KILL']
    if (emulation?.register === undefined) return [...ended, ...inside]
    // An emulator of our own is known in a user namespace alone; root's has the same users inside and outside.
    await mkdir(at('binfmt'))
    if (flags.length > 0) return [...ended, ...inside]
    await mkdir(at('users'))
    return [...ended, 'sh', sameUsers, at('users'), ...inside]
  }

  #commandArgv({ argv, env, user, workdir }: RunJob, root: string): readonly string[] {
    const { setpriv, unshare } = this.#tools
    const bounding = ['-all', ...capabilities.map(name => `+${name}`)].join(',')
    const group = this.owners === 'one' ? [] : ['--regid', String(user.gid), '--groups', user.groups.join(',')]
    const uid = user.uid === 0 ? [] : ['--setuid', String(user.uid)]
    return [
      this.#tools.env,
      ...shellVariables.filter(name => env[name] === undefined).flatMap(name => ['-u', name]),
      ...disturbing(env).map(name => `${name}=${env[name]}`),
      setpriv,
      '--bounding-set',
      bounding,
      '--inh-caps=-all',
      ...group,
      unshare,
      '--root',
      root,
      '--wd',
      workdir,
      ...uid,
      '--',
      ...argv,
    ]
  }

  #refuseUser({ user }: RunJob): void {
    if (this.owners === 'all' || (user.uid === 0 && user.gid === 0)) return
    throw new CloudimgError(
      'EXECUTOR_UNAVAILABLE',
      `running a command as user ${user.uid}: you have no subordinate ids, so there is root alone`,
      { hint: subordinateHint },
    )
  }
}

const hostnameOperations = ['hostname', 'cloudimg']

function kernelOperations(root: string): readonly string[] {
  return ['proc', `${root}/proc`, 'sysfs', `${root}/sys`, 'dev', `${root}/dev`]
}

function mountOperations(root: string, mount: JobMount): readonly string[] {
  const target = `${root}/${mount.target}`
  if (mount.kind === 'bind') return [mount.readonly ? 'ro-bind' : 'bind', target, mount.source]
  return ['tmpfs', target, `mode=1777,nosuid,nodev${mount.size === undefined ? '' : `,size=${mount.size}`}`]
}

/** What a shell on the way sets of its own accord. */
const shellVariables = ['PWD', 'OLDPWD', 'SHLVL', '_']

// These would work on the programs on the way too: the last of them sets them.
function disturbing(env: Readonly<Record<string, string>>): readonly string[] {
  return Object.keys(env).filter(name => /^(?:PATH|LD_.*|IFS|PWD|OLDPWD|SHLVL|_|OPTIND|PS4)$/.test(name))
}

/** The command's environment as the process has it: values are seen by nobody else, as arguments would be. */
function processEnvironment(env: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const skip = new Set(disturbing(env))
  return { ...Object.fromEntries(Object.entries(env).filter(([name]) => !skip.has(name))), PATH: systemPath }
}
