import { createHash } from 'node:crypto'
import { mkdir, readFile, statfs, writeFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { type Context, type Task, withTask } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { formatPlatform, type Platform } from '../../core/platform.ts'
import { readFileRange } from '../../io/read-file.ts'
import type { Store } from '../../oci/store/store.ts'
import { blobPath } from '../../oci/store/layout.ts'
import type { CopySource } from '../copy-source.ts'
import type { CopyOrigin, RunStep } from '../plan.ts'
import type { BuildSources } from '../sources.ts'
import type { BuildTree, LayerEntry, TreeFile } from '../tree.ts'
import { readContent, readTreeText } from '../tree-content.ts'
import { differenceOf } from './difference.ts'
import type { JobMount, ReadableTree, RunEnd, RunJob, RunSession, Toolbox } from './executor.ts'
import { FetchDesk } from './fetch-desk.ts'
import { hasProgram } from './find-in-tree.ts'
import { recallRun, rememberRun, type RememberedRun } from './run-cache.ts'
import { layMounts, mountKey, type OpenMount, openMount } from './run-mounts.ts'
import { resolveUser, type RunUser } from './run-user.ts'
import { rootfsPath } from './root-layout.ts'
import { OutputRelay, refuseSecrets } from './secrets.ts'
import type { RunServices } from './run-services.ts'
import { engineFiles, engineMade, skeletonOf } from './skeleton.ts'
import { deskName, layOwnPrograms, toolboxEnvironment, toolboxPath } from './toolbox.ts'

/** Raised whenever the same command on the same tree would have another result. */
const formatVersion = 1

/** What a stage offers its commands. */
export interface StageWorld {
  readonly tree: BuildTree
  readonly platform: Platform
  readonly store: Store
  readonly sources: BuildSources
  /** Whether results of earlier builds are passed over. */
  readonly isFresh: boolean
  /** diff_ids of the layers so far: what a result depends on. */
  readonly layers: (ctx: Context) => Promise<readonly Digest[]>
  readonly origin: (origin: CopyOrigin) => Promise<CopySource>
}

export interface RunOutcome {
  readonly entries: readonly LayerEntry[]
  /** Why the image is not sealed after it. */
  readonly unsealed: readonly string[]
}

/** One stage's RUN steps. Nothing is opened before the first that is not known already. */
export class StageRuns {
  readonly #services: RunServices
  readonly #world: StageWorld
  readonly #read: ReadableTree['read']
  #session: RunSession | undefined
  #count = 0

  constructor(services: RunServices, world: StageWorld) {
    this.#services = services
    this.#world = world
    this.#read = (file, ctx) => readWhole(world.store, file, ctx)
  }

  /** What instructions do to the tree between two commands. */
  changed(entries: readonly LayerEntry[]): void {
    this.#session?.changed(entries)
  }

  async close(): Promise<void> {
    await this.#session?.close()
    this.#session = undefined
  }

  /** @throws RUN_FAILED, EXECUTOR_UNAVAILABLE, CONTEXT_INVALID, DISK_FULL, and what fetching throws. */
  async run(step: RunStep, ctx: Context): Promise<RunOutcome> {
    return await withTask(ctx, step.createdBy.slice(0, 70), async task => {
      const command = await this.#prepare(step, ctx)
      const known = !this.#world.isFresh ? await this.#recall(command, ctx) : undefined
      if (known !== undefined) task.end('cached')
      const { entries } = known ?? (await this.#execute(command, task, ctx))
      return { entries, unsealed: unsealedBy(step, this.#services.executorName) }
    })
  }

  async #prepare(step: RunStep, ctx: Context): Promise<PreparedCommand> {
    const { tree, platform } = this.#world
    const path = step.env.PATH ?? ''
    const isToolbox = !hasProgram(tree, step.command.program, { path, workdir: step.workdir })
    const user = await resolveUser(step.user, async file => {
      const entry = tree.get(tree.resolve(file))
      return entry?.type === 'file' ? await readTreeText(this.#world.store, entry, ctx) : undefined
    })
    const toolbox = isToolbox ? await this.#services.toolbox(ctx) : undefined
    const presets = isToolbox ? toolboxEnvironment(platform) : {}
    const env = { HOME: user.home, ...presets, ...step.env, ...(isToolbox ? { PATH: toolboxPath(path) } : {}) }
    const services = { ...this.#services, read: this.#read, origin: this.#world.origin }
    const workdir = isToolbox ? posix.join('/', rootfsPath, step.workdir) : step.workdir
    const mounts: OpenMount[] = []
    for (const mount of step.mounts) {
      const target = mount.target === undefined ? undefined : posix.resolve(workdir, mount.target)
      mounts.push(await openMount({ ...mount, target } as typeof mount, services, ctx))
    }
    const prepared = { step, user, env, workdir, toolbox, mounts }
    return { ...prepared, key: await this.#key(prepared, ctx) }
  }

  async #key(command: Omit<PreparedCommand, 'key'>, ctx: Context): Promise<string> {
    const { step, user, env, workdir, toolbox, mounts } = command
    const keyed = Object.entries(env).filter(([name]) => !step.unkeyed.includes(name))
    const parts = [
      formatVersion,
      formatPlatform(this.#world.platform),
      await this.#world.layers(ctx),
      step.command,
      keyed.sort(([a], [b]) => (a < b ? -1 : 1)),
      [workdir, user, step.network],
      mounts.map(mountKey),
      toolbox?.key ?? 'tree',
    ]
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
  }

  /** A result that is known, and whose downloads are still what they were: they go into the lock again. */
  async #recall({ key }: PreparedCommand, ctx: Context): Promise<RememberedRun | undefined> {
    const { store, tree, sources } = this.#world
    const known = await recallRun(store, key, tree, ctx)
    if (known === undefined) return undefined
    try {
      for (const { url, digest } of known.fetched) await sources.fetch(url, digest, ctx)
    } catch (error) {
      if (!isCloudimgError(error, 'LOCK_MISMATCH') && !isCloudimgError(error, 'DIGEST_MISMATCH')) throw error
      return undefined
    }
    return known
  }

  async #open(ctx: Context): Promise<RunSession> {
    if (this.#session !== undefined) return this.#session
    const { executor } = await this.#services.executor(ctx)
    this.#session = await executor.open(this.#services.home, ctx)
    return this.#session
  }

  async #execute(command: PreparedCommand, task: Task, ctx: Context): Promise<RememberedRun> {
    const session = await this.#open(ctx)
    const directory = join(session.directory, `command-${++this.#count}`)
    await mkdir(directory)
    const tree: ReadableTree = { tree: this.#world.tree, read: this.#read }
    const places = { home: this.#services.home, directory: join(directory, 'mounts'), place: this.#placing(command) }
    const laid = await layMounts(command.mounts, session, places, ctx)
    const { toolbox } = command
    const desk = toolbox === undefined ? undefined : await this.#openDesk(directory, toolbox.toolbox, ctx)
    try {
      const own = [...(await engineMounts(directory, command, this.#placing(command))), ...(desk?.mounts ?? [])]
      const mounts = [...own, ...(await scriptMounts(directory, command)), ...laid.mounts]
      const job = jobOf(command, tree, mounts, laid.env, this.#world.platform)
      const secrets = secretsOf(command.mounts)
      const relay = new OutputRelay([...secrets.values()], (stream, text) =>
        ctx.events({ kind: 'task.output', id: task.id, stream, text }),
      )
      const said = new LastWords()
      const onOutput = (stream: 'stdout' | 'stderr', text: string): void => {
        said.add(text)
        relay.push(stream, text)
      }
      const end = await session.run(job, { onOutput }, ctx)
      relay.flush()
      if (end.code !== 0) throw await this.#failure(command, end, relay.redact(said.text), desk?.desk, session)
      // A pipe hides that its first command failed, and a second address may have had the file.
      const { message, hint } = desk?.desk.failure ?? {}
      if (message !== undefined) {
        const why = {
          message: `the command succeeded without what it asked for: ${message}`,
          ...(hint === undefined ? {} : { hint }),
        }
        ctx.events({ kind: 'warning', code: 'run-fetch', ...why })
      }
      const entries = await this.#difference(end, job, tree, secrets, ctx)
      const run = { entries, fetched: desk?.desk.fetched() ?? [] }
      await rememberRun(this.#world.store, command.key, run, this.#world.tree)
      return run
    } finally {
      await desk?.desk.close()
      await laid.release()
    }
  }

  async #difference(
    end: RunEnd,
    job: RunJob,
    before: ReadableTree,
    secrets: ReadonlyMap<string, Buffer>,
    ctx: Context,
  ): Promise<readonly LayerEntry[]> {
    const isToolbox = job.toolbox !== undefined
    return await end.readResult(result =>
      differenceOf(
        {
          result,
          before,
          isEngineMade: engineMade(treeMounts(job), { isToolbox }),
          places: new Set(job.skeleton.map(({ path }) => path)),
          inspect: refuseSecrets(secrets),
        },
        this.#world.store,
        ctx,
      ),
    )
  }

  /** Targets as the job has them: without links, relative to its root. */
  #placing({ toolbox }: PreparedCommand): (target: string) => string {
    const { tree } = this.#world
    if (toolbox === undefined) return target => tree.resolve(target)
    const below = `/${rootfsPath}/`
    return target => {
      if (target.startsWith(below)) return posix.join(rootfsPath, tree.resolve(target.slice(below.length)))
      return toolbox.toolbox.from === 'image' ? toolbox.toolbox.content.tree.resolve(target) : target.slice(1)
    }
  }

  async #openDesk(
    directory: string,
    toolbox: Toolbox,
    ctx: Context,
  ): Promise<{ readonly desk: FetchDesk; readonly mounts: readonly JobMount[] }> {
    const own = join(directory, 'own')
    const mounts = await layOwnPrograms(own, toolbox)
    const { sources, store } = this.#world
    const fetch = async (url: string, signal: Context) => {
      const { digest, size } = await sources.fetch(url, undefined, signal)
      return { digest, size, path: blobPath(store.layout, digest) }
    }
    const desk = new FetchDesk(join(own, deskName), fetch, ctx)
    await desk.open()
    return { desk, mounts }
  }

  async #failure(
    { step }: PreparedCommand,
    { code }: RunEnd,
    said: string,
    desk: FetchDesk | undefined,
    session: RunSession,
  ): Promise<CloudimgError> {
    const doing = `running "${step.createdBy}"`
    const last = said.trim().split('\n').slice(-3).join('; ').slice(-600)
    const data = { exitCode: code }
    if (await isFull(session.directory)) {
      return new CloudimgError('DISK_FULL', `${doing}: no space left on the device: ${last}`, {
        hint: 'free some space or point CLOUDIMG_HOME at a larger disk, then run the same command again',
        data,
      })
    }
    const hint = desk?.failure?.hint ?? hintFor(said, step, session)
    const message = `${doing}: exit code ${code}${last === '' ? '' : `: ${last}`}`
    return new CloudimgError('RUN_FAILED', message, { ...(hint === undefined ? {} : { hint }), data })
  }
}

interface PreparedCommand {
  readonly step: RunStep
  readonly user: RunUser
  readonly env: Readonly<Record<string, string>>
  readonly workdir: string
  readonly toolbox: { readonly toolbox: Toolbox; readonly key: string } | undefined
  readonly mounts: readonly OpenMount[]
  readonly key: string
}

function jobOf(
  { step, env, user, workdir, toolbox }: PreparedCommand,
  tree: ReadableTree,
  mounts: readonly JobMount[],
  secretEnv: Readonly<Record<string, string>>,
  platform: Platform,
): RunJob {
  const isToolbox = toolbox !== undefined
  const { argv } = step.command
  const job = { tree, argv, user, workdir, platform, mounts, toolbox: toolbox?.toolbox, env: { ...env, ...secretEnv } }
  const skeleton = skeletonOf(tree.tree, treeMounts(job), { isToolbox })
  return { ...job, skeleton, network: step.network === 'none' ? 'none' : 'host' }
}

/** Those that lie in the tree, with targets relative to it. */
function treeMounts({ mounts, toolbox }: Pick<RunJob, 'mounts' | 'toolbox'>): readonly JobMount[] {
  if (toolbox === undefined) return mounts
  const below = `${rootfsPath}/`
  return mounts
    .filter(({ target }) => target.startsWith(below))
    .map(mount => ({ ...mount, target: mount.target.slice(below.length) }))
}

/** The three files that every engine brings. */
async function engineMounts(
  directory: string,
  { step }: PreparedCommand,
  place: (target: string) => string,
): Promise<readonly JobMount[]> {
  const hosts = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\tcloudimg\n'
  const content: Readonly<Record<(typeof engineFiles)[number], string>> = {
    'etc/hosts': hosts,
    'etc/hostname': 'cloudimg\n',
    'etc/resolv.conf': step.network === 'none' ? '' : await readFile('/etc/resolv.conf', 'utf8').catch(() => ''),
  }
  const mounts: JobMount[] = []
  for (const path of engineFiles) {
    const source = join(directory, posix.basename(path))
    await writeFile(source, content[path], { mode: 0o644 })
    mounts.push({ kind: 'bind', source, target: place(`/${path}`), type: 'file', readonly: true })
  }
  return mounts
}

/** A here-document that is a program of its own. */
async function scriptMounts(directory: string, { step }: PreparedCommand): Promise<readonly JobMount[]> {
  const { script } = step.command
  if (script === undefined) return []
  const source = join(directory, 'script')
  await writeFile(source, script.text, { mode: 0o755 })
  return [{ kind: 'bind', source, target: script.path.slice(1), type: 'file', readonly: true }]
}

function secretsOf(mounts: readonly OpenMount[]): ReadonlyMap<string, Buffer> {
  return new Map(
    mounts.flatMap(open => (open.type === 'secret' && open.secret !== undefined ? [[open.mount.id, open.secret]] : [])),
  )
}

function unsealedBy({ network, createdBy }: RunStep, executor: string | undefined): readonly string[] {
  return [
    ...(network === 'none' ? [] : [`RUN --network=${network}: "${createdBy}" had a network`]),
    ...(network === 'none' && executor === 'chroot' ? ['--executor chroot takes no network away from RUN'] : []),
  ]
}

/** What a user most likely has to do, by what the command said. */
function hintFor(said: string, { network }: RunStep, { owners }: RunSession): string | undefined {
  if (owners === 'one' && /(?:Operation not permitted|Invalid argument|Permission denied)/.test(said)) {
    return 'there is one user alone in this tree, so nothing can be given to another: give yourself subordinate ids (install uidmap; as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER), or build as root'
  }
  const isAlone = /(?:resolve host|name resolution|Network is unreachable|bad address|unable to resolve)/i.test(said)
  if (network === 'none' && isAlone) {
    return 'RUN has no network: ADD the file by its URL, run curl or wget in the toolbox, or write RUN --network=default, which unseals the image'
  }
  return undefined
}

/** Whether nothing can be written there any more. */
async function isFull(directory: string): Promise<boolean> {
  const { bavail, bfree, bsize } = await statfs(directory)
  return (process.getuid?.() === 0 ? bfree : bavail) * bsize < 64 * 1024
}

class LastWords {
  text = ''

  add(text: string): void {
    this.text = (this.text + text).slice(-4096)
  }
}

function readWhole(store: Store, file: TreeFile, ctx: Context): AsyncIterable<Buffer> {
  const { content, size } = file
  if (content.from === 'context') return readFileRange(content.path, 0, size)
  return readContent(store, file, { offset: 0, length: size }, ctx)
}
