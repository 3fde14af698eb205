import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { run } from '../../io/exec.ts'
import { readProgram } from '../../io/read-program.ts'
import type { JobMount, Owners, RunEnd, RunJob, RunSession, RunWatch } from './executor.ts'
import { type Laying, layEntries, readingTar } from './lay-tree.ts'
import { layContent, layToolbox, rootfsPath } from './root-layout.ts'
import { removeWorkspace } from './workspace.ts'

/** A new root on disk, and what is to be mounted over it. */
export interface PlainRoot {
  readonly directory: string
  readonly mounts: readonly JobMount[]
  /** For this command's own files. */
  readonly scratch: string
}

export interface Launch {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** When the command itself has ended. */
  readonly onExit?: () => void
}

export interface PlainOptions {
  readonly laying: Omit<Laying, 'links'>
  /** How a job is started on a root. */
  launch(root: PlainRoot, job: RunJob): Promise<Launch>
  /** After the command, however it ended. */
  finish?(root: PlainRoot): Promise<void>
}

/** Commands on a copy of the tree, each on a new one: for executors that know no overlay. */
export class PlainSession implements RunSession {
  readonly directory: string
  readonly owners: Owners
  readonly #options: PlainOptions
  readonly #laying: Laying
  #runs = 0

  constructor(directory: string, options: PlainOptions) {
    this.directory = directory
    this.owners = options.laying.owners
    this.#options = options
    // A change to one of several hard links is a change to that one alone, as on an overlay.
    this.#laying = { ...options.laying, links: false }
  }

  async lay(content: Parameters<RunSession['lay']>[0], directory: string, ctx: Context): Promise<void> {
    await layContent(content, directory, this.#laying, ctx)
  }

  changed(): void {
    // Every command gets the whole tree anew.
  }

  async close(): Promise<void> {
    await removeWorkspace(this.directory)
  }

  async run(job: RunJob, watch: RunWatch, ctx: Context): Promise<RunEnd> {
    const scratch = join(this.directory, `run-${++this.#runs}`)
    await mkdir(scratch)
    const tree = join(scratch, 'tree')
    await layEntries(job.tree.read, job.skeleton, tree, this.#laying, ctx)
    await layContent(job.tree, tree, this.#laying, ctx)
    const root = await this.#makeRoot(job, tree, scratch, ctx)
    const { argv, ...more } = await this.#options.launch(root, job)
    const output = { maxOutputBytes: 16_384, onOutput: watch.onOutput }
    try {
      const { code } = await run(argv, { ...more, cwd: scratch, killSignal: 'SIGKILL', ...output }, ctx)
      return { code, readResult: take => this.#read(tree, take, ctx) }
    } finally {
      await this.#options.finish?.(root)
    }
  }

  async #makeRoot(job: RunJob, tree: string, scratch: string, ctx: Context): Promise<PlainRoot> {
    if (job.toolbox === undefined) return { directory: tree, mounts: job.mounts, scratch }
    const box = join(scratch, 'box')
    const own = await layToolbox(job, job.toolbox, box, this.#laying, ctx)
    const rootfs: JobMount = { kind: 'bind', source: tree, target: rootfsPath, type: 'directory', readonly: false }
    return { directory: box, mounts: [...own, rootfs, ...job.mounts], scratch }
  }

  async #read<T>(tree: string, take: Parameters<RunEnd['readResult']>[0], ctx: Context): Promise<T> {
    const { as, owners, hasDevices } = this.#laying
    const tar = readProgram(readingTar(tree, as), ctx)
    return (await take({ kind: 'merged', owners, hasDevices, tar })) as T
  }
}

/** @throws EXECUTOR_UNAVAILABLE for another user than root, where there is one user alone. */
export function refuseOtherUsers({ user }: RunJob, what: string): void {
  if (user.uid === 0 && user.gid === 0) return
  throw new CloudimgError(
    'EXECUTOR_UNAVAILABLE',
    `running a command as user ${user.uid}: ${what} runs as root alone here`,
    {
      hint: 'build as root, or with --executor unshare',
    },
  )
}
