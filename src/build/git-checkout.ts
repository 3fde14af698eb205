import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { withFileErrors } from '../io/files.ts'
import { run, type RunResult } from '../io/exec.ts'
import { isFullCommit } from './git-source.ts'

/** Where one repository is, as git is told. */
export interface GitPlace {
  readonly address: string
  /** What git may speak, to this address and to those of submodules: `https`, `file` for a mirror on this machine. */
  readonly protocols: readonly string[]
}

/**
 * The system's git, by argv, with the user's own access rights and nothing else of theirs: no prompt, no hook, no filter,
 * no line ends turned, and no protocol but those of remote repositories.
 */
export class Git {
  readonly #place: GitPlace
  readonly #directory: string
  #env: Readonly<Record<string, string>>

  private constructor(place: GitPlace, directory: string) {
    this.#place = place
    this.#directory = directory
    this.#env = gitEnvironment(place)
  }

  /** Works in `directory`, which becomes a repository. */
  static async open(place: GitPlace, directory: string, ctx: Context): Promise<Git> {
    await withFileErrors('making', directory, () => mkdir(directory, { recursive: true }))
    const git = new Git(place, directory)
    await git.#must(['init', '--quiet', '--template=', '.'], ctx)
    git.#env = { ...git.#env, GIT_CONFIG_GLOBAL: await git.#writeConfig(ctx) }
    return git
  }

  /**
   * The commit that a ref stands for: branches before tags, as `git checkout` has it; HEAD without one.
   * @throws ARTIFACT_UNAVAILABLE
   */
  async resolve(ref: string | undefined, ctx: Context): Promise<string> {
    if (ref !== undefined && isFullCommit(ref)) return ref
    const names = ref === undefined ? ['HEAD'] : refNames(ref)
    const { stdout } = await this.#must(['ls-remote', '--', this.#place.address, ...names], ctx)
    const found = new Map(
      stdout.split('\n').flatMap(line => {
        const [commit = '', name = ''] = line.split('\t')
        return isFullCommit(commit) ? [[name, commit] as const] : []
      }),
    )
    const commit = names.map(name => found.get(name)).find(one => one !== undefined)
    if (commit !== undefined) return commit
    throw new CloudimgError('ARTIFACT_UNAVAILABLE', `looking into ${this.#what}: it has no ${ref ?? 'HEAD'}`, {
      hint: 'name a branch, a tag or a commit with all its 40 digits',
    })
  }

  /** Lays the commit's tree with its submodules down in the directory, beside `.git`. */
  async checkOut(commit: string, ctx: Context): Promise<void> {
    await this.#fetch(commit, ctx)
    await this.#must(['checkout', '--quiet', '--force', '--detach', commit], ctx)
    const modules = await this.#try(['cat-file', '-e', `${commit}:.gitmodules`], ctx)
    if (modules.code !== 0) return
    // Addresses like ../other.git are meant from here.
    await this.#must(['remote', 'add', 'origin', this.#place.address], ctx)
    await this.#must(['submodule', '--quiet', 'update', '--init', '--recursive', '--depth=1'], ctx)
  }

  /**
   * The user's own settings and ours behind them, as a file: git hands no others on to the repositories of submodules.
   * Every filter that the user has set up becomes none: an attribute in the repository would have git run it.
   */
  async #writeConfig(ctx: Context): Promise<string> {
    const names = ['config', '--name-only', '--get-regexp', String.raw`^filter\..*\.(smudge|process|required)$`]
    const { stdout } = await this.#try(names, ctx)
    const filters = stdout
      .split('\n')
      .filter(key => key !== '')
      .map(key => [key, key.endsWith('.required') ? 'false' : ''] as const)
    const included = userConfigs(this.#env).map(file => ['include.path', file] as const)
    const lines = [...included, ...Object.entries(settings), ...filters].map(([key, value]) => configLine(key, value))
    const path = `${this.#directory}.gitconfig`
    await withFileErrors('writing', path, () => writeFile(path, lines.join('')))
    return path
  }

  /** By its name alone where the server allows it, else with everything. */
  async #fetch(commit: string, ctx: Context): Promise<void> {
    const fetch = ['fetch', '--quiet', '--no-tags', '--no-recurse-submodules', '--no-write-fetch-head']
    const one = await this.#try([...fetch, '--depth=1', '--', this.#place.address, commit], ctx)
    if (one.code === 0) return
    const all = ['+refs/heads/*:refs/remotes/origin/*', '+refs/tags/*:refs/tags/*']
    await this.#must([...fetch, '--', this.#place.address, ...all], ctx)
    const found = await this.#try(['cat-file', '-e', `${commit}^{commit}`], ctx)
    if (found.code === 0) return
    throw new CloudimgError('ARTIFACT_UNAVAILABLE', `looking into ${this.#what}: it has no commit ${commit}`, {
      hint: 'check the commit, or run cloudimg lock --update with the name of the source',
    })
  }

  /**
   * Writes a `.git` for the commit's tree into `directory`: its objects in one pack, no history, an index without times,
   * and the remote's address. By the same git the same bytes.
   */
  async writeGitDirectory(commit: string, directory: string, remote: string, ctx: Context): Promise<void> {
    const copy = await Git.open(this.#place, directory, ctx)
    const inside = (name: string): string => join(directory, '.git', name)
    await withFileErrors('writing', inside('HEAD'), async () => {
      await writeFile(inside('HEAD'), `${commit}\n`)
      for (const repository of [this.#directory, directory])
        await writeFile(join(repository, '.git/shallow'), `${commit}\n`)
    })
    const pack = ['-c', 'pack.threads=1', 'pack-objects', '--quiet', '--revs', inside('objects/pack/pack')]
    await this.#must(pack, ctx, `${commit}\n`)
    await copy.#must(['remote', 'add', 'origin', remote], ctx)
    await copy.#must(['read-tree', commit], ctx)
  }

  get #what(): string {
    return `the git repository "${this.#place.address}"`
  }

  async #try(args: readonly string[], ctx: Context, input?: string): Promise<RunResult> {
    const options = { env: this.#env, cwd: this.#directory, ...(input === undefined ? {} : { input }) }
    try {
      return await run(['git', ...args], options, ctx)
    } catch (error) {
      if (!(error instanceof CloudimgError) || error.data.errno !== 'ENOENT') throw error
      throw new CloudimgError('UNSUPPORTED', `reading ${this.#what}: there is no git on this machine`, {
        hint: 'install git, or ADD an archive of the release with --checksum and --unpack=true',
        cause: error,
      })
    }
  }

  async #must(args: readonly string[], ctx: Context, input?: string): Promise<RunResult> {
    const result = await this.#try(args, ctx, input)
    if (result.code === 0) return result
    const said = result.stderr.trim().split('\n').slice(-3).join('; ')
    throw new CloudimgError('ARTIFACT_UNAVAILABLE', `reading ${this.#what}: git ${args[0]}: ${said}`, {
      hint: 'check the address and your access to it: git ls-remote shows what git sees',
    })
  }
}

function refNames(ref: string): readonly string[] {
  if (ref === 'HEAD') return ['HEAD']
  if (ref.startsWith('refs/')) return [`${ref}^{}`, ref]
  return [`refs/heads/${ref}`, `refs/tags/${ref}^{}`, `refs/tags/${ref}`, `refs/${ref}`]
}

// Variables that point git at a repository of the caller's, as in a hook.
const notOurs =
  /^GIT_(?:DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|NAMESPACE|PREFIX|CONFIG|CONFIG_PARAMETERS|TEMPLATE_DIR|ATTR_SOURCE)$/

/** Settings that would change what is checked out, or run something. */
const settings = {
  'core.hooksPath': '/dev/null',
  'core.attributesFile': '/dev/null',
  'core.autocrlf': 'false',
  'core.eol': 'lf',
  'core.symlinks': 'true',
  'core.fsmonitor': 'false',
  'core.untrackedCache': 'false',
  'init.defaultBranch': 'main',
  'advice.detachedHead': 'false',
  'index.version': '2',
  'gc.auto': '0',
}

/** In the order in which git reads them; those that are not there count for nothing. */
function userConfigs(env: Readonly<Record<string, string>>): readonly string[] {
  const { GIT_CONFIG_GLOBAL: own, HOME: home, XDG_CONFIG_HOME: xdg } = env
  if (own !== undefined) return [own]
  const below = xdg ?? (home === undefined ? undefined : join(home, '.config'))
  return [
    ...(below === undefined ? [] : [join(below, 'git/config')]),
    ...(home === undefined ? [] : [join(home, '.gitconfig')]),
  ]
}

/** `section.sub.section.name` with its value, as git-config(1) has it. */
function configLine(key: string, value: string): string {
  const [, section = '', below, name = ''] = /^([^.]+)(?:\.(.*))?\.([^.]+)$/s.exec(key) ?? []
  const quoted = (text: string): string => `"${text.replaceAll(/[\\"]/g, String.raw`\$&`)}"`
  return `[${section}${below === undefined ? '' : ` ${quoted(below)}`}]\n\t${name} = ${quoted(value)}\n`
}

function gitEnvironment({ protocols }: GitPlace): Readonly<Record<string, string>> {
  const inherited = Object.entries(process.env).flatMap(([name, value]) =>
    value === undefined || notOurs.test(name) ? [] : [[name, value] as const],
  )
  return {
    GIT_SSH_COMMAND: 'ssh -o BatchMode=yes',
    ...Object.fromEntries(inherited),
    LC_ALL: 'C',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: protocols.join(':'),
  }
}
