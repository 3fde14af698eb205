import type Dockerode from 'dockerode'
import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { PassThrough, type Readable } from 'node:stream'
import type { Context } from '../../core/context.ts'
import { CloudimgError, reasonOf } from '../../core/error.ts'
import { parseJson } from '../../core/json.ts'
import { coalesce } from '../../io/packer.ts'
import { streamOf } from '../../io/read-file.ts'
import { tarEnd } from '../../io/tar.ts'
import { connectEngine, type Engine, findEngineSocket, noEngineSocket } from '../engine.ts'
import { type EngineNote, writeEngineNote } from './engine-note.ts'
import { emulatorEntry, refuseUnknownEmulator } from './emulation.ts'
import type {
  Availability,
  Executor,
  JobMount,
  ReadableTree,
  RunEnd,
  RunJob,
  RunSession,
  RunWatch,
} from './executor.ts'
import { type Laying, tarOf } from './lay-tree.ts'
import { boxSkeleton, layContent, rootfsPath } from './root-layout.ts'
import { makeWorkspace, removeWorkspace } from './workspace.ts'

export const dockerExecutor: Executor = engineExecutor('docker')
export const podmanExecutor: Executor = engineExecutor('podman')

function engineExecutor(engine: Engine): Executor {
  return {
    name: engine,
    probe: () => probe(engine),
    open: async home => {
      const socket = await findEngineSocket(engine)
      if (socket === undefined)
        throw new CloudimgError('EXECUTOR_UNAVAILABLE', `running a command with ${engine}: ${noEngineSocket(engine)}`)
      return new EngineSession(await makeWorkspace(home), engine, socket)
    },
  }
}

async function probe(engine: Engine): Promise<Availability> {
  const socket = await findEngineSocket(engine)
  if (socket === undefined) return { ok: false, reason: noEngineSocket(engine) }
  try {
    const info = (await (await connectEngine(socket)).version()) as { readonly Version?: string; readonly Os?: string }
    if (info.Os !== undefined && info.Os !== 'linux') return { ok: false, reason: `it runs on ${info.Os}` }
    return { ok: true, owners: 'all', how: `${engine} ${info.Version ?? ''} at ${socket}` }
  } catch (error) {
    return { ok: false, reason: `asking ${socket}: ${reasonOf(error)}` }
  }
}

/** Removes a container and an image of ours, by name: what is gone already is no trouble. */
export async function removeFromEngine({
  socket,
  container,
  image,
}: Extract<EngineNote, { kind: 'engine' }>): Promise<void> {
  const docker = await connectEngine(socket)
  await docker
    .getContainer(container)
    .remove({ force: true, v: true })
    .catch(() => undefined)
  await docker
    .getImage(image)
    .remove({ force: true })
    .catch(() => undefined)
}

/** What engines leave in a root that lacks it. */
const marks = ['.dockerenv', 'run/.containerenv', 'etc/mtab']

class EngineSession implements RunSession {
  readonly owners = 'all'
  readonly directory: string
  readonly #engine: Engine
  readonly #socket: string
  /** What is mounted lies on this machine, and is ours. */
  readonly #laying: Laying
  #made: (() => Promise<void>)[] = []

  constructor(directory: string, engine: Engine, socket: string) {
    this.directory = directory
    this.#engine = engine
    this.#socket = socket
    const isRoot = process.getuid?.() === 0
    this.#laying = { as: [], owners: isRoot ? 'all' : 'one', hasDevices: false, links: false }
  }

  async lay(content: Parameters<RunSession['lay']>[0], directory: string, ctx: Context): Promise<void> {
    await layContent(content, directory, this.#laying, ctx)
  }

  changed(): void {
    // Every command gets the whole tree anew.
  }

  async close(): Promise<void> {
    await this.#removeMade()
    await removeWorkspace(this.directory)
  }

  async #removeMade(): Promise<void> {
    for (const remove of this.#made.splice(0)) await remove()
  }

  async run(job: RunJob, watch: RunWatch, ctx: Context): Promise<RunEnd> {
    if (job.toolbox?.from === 'host') {
      throw new CloudimgError(
        'EXECUTOR_UNAVAILABLE',
        `running a command with ${this.#engine}: its containers cannot use this machine’s programs`,
        {
          hint: 'name an image with a shell: --toolbox IMAGE, or build with --executor unshare',
        },
      )
    }
    if (job.toolbox === undefined) refuseUnknownEmulator(await emulatorEntry(job.platform))
    await this.#removeMade()
    const name = `cloudimg-run-${process.pid}-${randomBytes(6).toString('hex')}`
    const note: EngineNote = { kind: 'engine', socket: this.#socket, container: name, image: `localhost/${name}:run` }
    const noted = await writeEngineNote(this.directory, name, note)
    this.#made.push(async () => {
      await removeFromEngine(note)
      await rm(noted, { force: true })
    })
    const docker = await connectEngine(this.#socket)
    try {
      const image = await importImage(docker, name, jobTar(job, ctx))
      const container = await docker.createContainer(containerOptions(name, image, job))
      const code = await runContainer(docker, container, watch, ctx)
      const prefix = job.toolbox === undefined ? '' : rootfsPath
      return {
        code,
        readResult: async take => {
          const tar = (await container.export()) as unknown as AsyncIterable<Buffer>
          return await take({
            kind: 'merged',
            owners: 'all',
            hasDevices: true,
            tar,
            prefix,
            marks: prefix === '' ? marks : [],
          })
        },
      }
    } catch (error) {
      await this.#removeMade()
      ctx.signal.throwIfAborted()
      if (error instanceof CloudimgError) throw error
      throw new CloudimgError('EXECUTOR_UNAVAILABLE', `running a command with ${this.#engine}: ${reasonOf(error)}`, {
        cause: error,
      })
    }
  }
}

/** The container's whole root: the tree, or the toolbox with the tree in it. */
async function* jobTar(job: RunJob, ctx: Context): AsyncGenerator<Buffer> {
  const kinds = { hasDevices: true, links: false }
  const part = (content: ReadableTree, entries: Parameters<typeof tarOf>[1]): AsyncGenerator<Buffer> =>
    tarOf(content.read, entries, kinds, ctx)
  const { toolbox, tree, skeleton } = job
  const parts: AsyncGenerator<Buffer>[] = []
  if (toolbox?.from === 'image') {
    const own = job.mounts.filter(({ target }) => !target.startsWith(`${rootfsPath}/`))
    parts.push(
      part(toolbox.content, toolbox.content.tree.entries()),
      part(toolbox.content, boxSkeleton(toolbox.content.tree, own)),
    )
  }
  const inside = toolbox === undefined ? '' : `${rootfsPath}/`
  parts.push(part(tree, below(inside, skeleton)), part(tree, below(inside, tree.tree.entries())))
  for (const bytes of parts) yield* withoutEnd(bytes)
  yield tarEnd
}

function* below<T extends { readonly path: string }>(prefix: string, entries: Iterable<T>): Generator<T> {
  for (const entry of entries) yield { ...entry, path: `${prefix}${entry.path}` }
}

async function* withoutEnd(tar: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of tar) if (chunk !== tarEnd) yield chunk
}

async function importImage(docker: Dockerode, name: string, tar: AsyncGenerator<Buffer>): Promise<string> {
  const answer = (await docker.importImage(streamOf(coalesce(tar)), {
    repo: `localhost/${name}`,
    tag: 'run',
  })) as Readable
  let text = ''
  for await (const chunk of answer) text += String(chunk)
  let id = ''
  for (const line of text.split('\n').filter(line => line.trim() !== '')) {
    const said = parseJson(line) as { readonly status?: string; readonly error?: string } | undefined
    if (said?.error !== undefined) throw new CloudimgError('EXECUTOR_UNAVAILABLE', `importing the tree: ${said.error}`)
    id = /sha256:[0-9a-f]{64}|^[0-9a-f]{64}$/.exec(said?.status ?? '')?.[0] ?? id
  }
  if (id === '')
    throw new CloudimgError('EXECUTOR_UNAVAILABLE', `importing the tree: no image came of it: ${text.slice(0, 300)}`)
  return id
}

function containerOptions(name: string, image: string, job: RunJob): Dockerode.ContainerCreateOptions {
  return {
    name,
    Image: image,
    Entrypoint: [],
    Cmd: [...job.argv],
    // A name alone takes away what docker would set of its own accord.
    Env: [
      ...unwanted.filter(key => job.env[key] === undefined),
      ...Object.entries(job.env).map(pair => pair.join('=')),
    ],
    WorkingDir: job.workdir,
    User: `${job.user.uid}:${job.user.gid}`,
    Hostname: 'cloudimg',
    AttachStdout: true,
    AttachStderr: true,
    HostConfig: {
      NetworkMode: job.network === 'none' ? 'none' : 'default',
      GroupAdd: job.user.groups.filter(gid => gid !== job.user.gid).map(String),
      Mounts: job.mounts.map(engineMount),
    },
  }
}

/** What engines add to a command's environment. */
const unwanted = ['HOSTNAME', 'TERM', 'container']

function engineMount(mount: JobMount): Dockerode.MountSettings {
  const Target = `/${mount.target}`
  if (mount.kind === 'bind') return { Type: 'bind', Source: mount.source, Target, ReadOnly: mount.readonly }
  return {
    Type: 'tmpfs',
    Source: '',
    Target,
    ...(mount.size === undefined ? {} : { TmpfsOptions: { SizeBytes: mount.size, Mode: 0o1777 } }),
  }
}

async function runContainer(
  docker: Dockerode,
  container: Dockerode.Container,
  { onOutput }: RunWatch,
  ctx: Context,
): Promise<number> {
  const stop = (): void => void container.kill().catch(() => undefined)
  ctx.signal.addEventListener('abort', stop, { once: true })
  try {
    const output = await container.attach({ stream: true, stdout: true, stderr: true })
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    stdout.on('data', (chunk: Buffer) => onOutput('stdout', chunk.toString('utf8')))
    stderr.on('data', (chunk: Buffer) => onOutput('stderr', chunk.toString('utf8')))
    const said = new Promise(resolve => output.once('end', resolve).once('close', resolve))
    docker.modem.demuxStream(output, stdout, stderr)
    await container.start()
    const { StatusCode: code } = (await container.wait()) as { readonly StatusCode: number }
    await said
    ctx.signal.throwIfAborted()
    return code
  } finally {
    ctx.signal.removeEventListener('abort', stop)
  }
}
