import { readFile, realpath, stat } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { buffer } from 'node:stream/consumers'
import type { NamedContexts } from '../build/named-context.ts'
import { parseBuildContext, parseContextPlace } from '../build/named-context.ts'
import { layContext, type LayingContext } from '../build/open-context.ts'
import { openNamedContext } from '../build/open-named-context.ts'
import type { BuildSources } from '../build/sources.ts'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { redactUrl } from '../core/redact.ts'
import { statIfPresent, withFileErrors } from '../io/files.ts'
import { limits } from '../io/limits.ts'
import { openScratchDirectory } from '../oci/store/scratch-directory.ts'
import type { Session } from './session.ts'

/** What a build is given: a directory, the Kubefile's text, and where its lock is. */
export interface BuildInput {
  readonly directory: string
  /** The Kubefile's path; undefined where it came from standard input. */
  readonly file: string | undefined
  readonly kubefile: { readonly filename: string; readonly source: string }
  readonly lockPath: string | undefined
  /** Whether the lock outlives the command: not where it came with a context from elsewhere. */
  readonly keepsLock: boolean
}

export interface InputFlags {
  readonly file?: string
  readonly lockFile?: string
}

/**
 * Opens CONTEXT: a directory, a tar archive, a URL of one or of a Kubefile, a git repository, `-` for standard input.
 * What has to be unpacked is gone when `opened` is.
 */
export async function openBuildInput(
  session: Session,
  context: string,
  flags: InputFlags,
  sources: () => Promise<BuildSources>,
  opened: AsyncDisposableStack,
): Promise<BuildInput> {
  const { stdin } = session.terminal
  const place = parseContextPlace(context)
  if (place.kind === 'path' && (await statIfPresent(place.path))?.isFile() !== true) {
    const file = await findKubefile(context, flags.file)
    const source = await readSource(file, stdin)
    return localInput(context, file, source, flags.lockFile)
  }
  if (place.kind === 'stdin' && flags.file === '-')
    throw new CloudimgError('USAGE', 'reading standard input: it cannot be both the context and the Kubefile', {
      hint: 'name the Kubefile inside the context with -f',
    })
  const laying = await layingContext(session, async () => await sources(), opened)
  const { directory, kubefile } = await layContext(place, laying, withoutNotes(session.ctx))
  if (kubefile !== undefined) {
    if (flags.file !== undefined)
      throw new CloudimgError('USAGE', `reading -f ${flags.file}: the context is a Kubefile itself`, {
        hint: 'leave -f out, or give a tar archive as the context',
      })
    const filename = place.kind === 'stdin' ? 'stdin' : redactUrl(context)
    return { ...localInput(directory, '-', kubefile, flags.lockFile), kubefile: { filename, source: kubefile } }
  }
  if (flags.file === '-') return localInput(directory, '-', await readSource('-', stdin), flags.lockFile)
  const name = flags.file ?? 'Kubefile'
  const file = await insideContext(directory, name)
  const source = await readSource(file, stdin)
  const lock = flags.lockFile === undefined ? `${file}.lock` : resolve(flags.lockFile)
  return {
    directory,
    file,
    kubefile: { filename: name, source },
    lockPath: lock,
    keepsLock: flags.lockFile !== undefined,
  }
}

function localInput(directory: string, file: string, source: string, lockFile: string | undefined): BuildInput {
  const isStdin = file === '-'
  const kubefile = { filename: isStdin ? 'stdin' : file, source }
  return { directory, file: isStdin ? undefined : file, kubefile, lockPath: lockPath(file, lockFile), keepsLock: true }
}

/** What `--build-context` names, in any order, each brought here. */
export async function openNamedContexts(
  session: Session,
  texts: readonly string[],
  sources: () => Promise<BuildSources>,
  opened: AsyncDisposableStack,
): Promise<NamedContexts> {
  const wanted = new Map(texts.map(parseBuildContext).map(({ name, place }) => [name, place]))
  if (wanted.size === 0) return new Map()
  const laying = await layingContext(session, sources, opened)
  const contexts = await Promise.all(
    [...wanted].map(async ([name, place]) => [name, await openNamedContext(name, place, laying, session.ctx)] as const),
  )
  return new Map(contexts)
}

async function layingContext(
  session: Session,
  sources: () => Promise<BuildSources>,
  opened: AsyncDisposableStack,
): Promise<LayingContext> {
  const store = await session.store()
  const scratch = async () => opened.use(await openScratchDirectory(store.layout))
  return { store, sources, stdin: session.terminal.stdin, scratch }
}

// The context is what the user names, as a directory is; it is not pinned, so nobody need hear of it.
function withoutNotes(ctx: Context): Context {
  return {
    ...ctx,
    events: event => {
      if (event.kind !== 'note') ctx.events(event)
    },
  }
}

/** A Kubefile of a context from elsewhere must not be a way to read this machine's files. */
async function insideContext(directory: string, name: string): Promise<string> {
  const path = join(directory, name)
  const isInside = async (): Promise<boolean> => {
    const inside = relative(await realpath(directory), await realpath(path))
    return inside !== '..' && !inside.startsWith('../')
  }
  if ((await statIfPresent(path)) !== undefined && (await isInside())) return path
  throw new CloudimgError('USAGE', `looking for "${name}" in the context: no such file`, {
    hint: 'name the Kubefile by its path inside the context with -f',
  })
}

/** `-f`, or Kubefile in the context. */
export async function findKubefile(contextDirectory: string, file: string | undefined): Promise<string> {
  await withFileErrors('opening the context', contextDirectory, () => stat(contextDirectory))
  if (file !== undefined) return file
  const path = join(contextDirectory, 'Kubefile')
  if ((await statIfPresent(path)) !== undefined) return path
  throw new CloudimgError('USAGE', `looking for "${path}": no such file`, { hint: 'name the Kubefile with -f' })
}

export async function readSource(file: string, stdin: NodeJS.ReadStream): Promise<string> {
  const bytes = file === '-' ? await buffer(stdin) : await withFileErrors('reading', file, () => readFile(file))
  if (bytes.length > limits.kubefileBytes)
    throw new CloudimgError('USAGE', `reading "${file}": more than ${limits.kubefileBytes} bytes`)
  return bytes.toString('utf8')
}

/** The lock lies beside the Kubefile; what comes from stdin has no place of its own. */
export function lockPath(file: string, wish: string | undefined): string | undefined {
  if (wish !== undefined) return resolve(wish)
  return file === '-' ? undefined : `${resolve(file)}.lock`
}
