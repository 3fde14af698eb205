import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { buildImage, type BuildResult, planPlatforms, readKubefile } from '../../build/build-image.ts'
import { openContext } from '../../build/context.ts'
import type { Compression } from '../../build/layers/compress.ts'
import { formatPlan } from '../../build/plan-text.ts'
import { type BuildSources, openSources } from '../../build/sources.ts'
import { formatBytes } from '../../core/bytes.ts'
import { CloudimgError } from '../../core/error.ts'
import { hostPlatform, type Platform } from '../../core/platform.ts'
import { familiarReference, parseReference } from '../../core/reference.ts'
import { limits } from '../../io/limits.ts'
import { statIfPresent, withFileErrors } from '../../io/files.ts'
import { mediaTypes } from '../../oci/descriptor.ts'
import { readConfigFile } from '../config-file.ts'
import { runWishes } from '../run-wishes.ts'
import { remoteAccess } from '../remote-access.ts'
import type { Session } from '../session.ts'

export interface BuildFlags {
  readonly file?: string
  readonly tag?: readonly string[]
  readonly platforms: readonly Platform[] | undefined
  readonly buildArg?: readonly string[]
  readonly mirror?: readonly string[]
  readonly lockFile?: string
  readonly locked?: boolean
  readonly offline?: boolean
  readonly compression: Compression
  readonly collect: 'auto' | 'never'
  readonly installer: boolean
  readonly plan?: boolean
  readonly target?: string
  readonly pull?: boolean
  readonly executor?: string
  readonly toolbox?: string
  readonly secret?: readonly string[]
}

/** `cloudimg build CONTEXT`: every platform, one index, then the tags. */
export async function build(session: Session, contextDirectory: string, flags: BuildFlags): Promise<void> {
  const { ctx, terminal } = session
  const file = await findKubefile(contextDirectory, flags.file)
  const source = await readSource(file, terminal.stdin)
  const tags = (flags.tag ?? []).map(tag => parseReference(tag))
  const platforms = flags.platforms ?? [hostPlatform()]
  const buildArgs = parseBuildArgs(flags.buildArg ?? [], terminal.env)
  const kubefile = { filename: file === '-' ? 'stdin' : file, source }
  const wishes = { platforms, buildArgs, target: flags.target }
  if (flags.plan === true) {
    // Most plans name no image: those need no store.
    const images = {
      open: async (...args: Parameters<BuildSources['images']['open']>) =>
        (await sourcesOf(session, contextDirectory, file, flags)).images.open(...args),
    }
    const plans = await planPlatforms(readKubefile(kubefile, ctx, { target: flags.target }), wishes, images, ctx)
    session.answer({ plans }, () => plans.map(formatPlan).join('\n\n'))
    return
  }
  const store = await session.store()
  const context = await openContext(contextDirectory, file === '-' ? undefined : file)
  const sources = await sourcesOf(session, contextDirectory, file, flags)
  const run = runWishes(flags, terminal.env)
  const options = {
    epoch: sourceDateEpoch(terminal.env),
    compression: flags.compression,
    collect: flags.collect,
    installer: flags.installer,
  }
  const result = await buildImage({ kubefile, context, ...wishes, tags, sources, run, options }, store, ctx)
  const compressed = result.platforms.some(({ layers }) =>
    layers.some(({ mediaType }) => mediaType === mediaTypes.layerZstd),
  )
  const { path, changed } = await sources.finish({ compressed }, ctx)
  const names = tags.map(familiarReference)
  session.answer({ ...result, lock: { path, changed }, tags: names }, () =>
    session.quiet ? result.index : describe(result, names),
  )
}

async function sourcesOf(
  session: Session,
  contextDirectory: string,
  file: string,
  flags: Pick<BuildFlags, 'mirror' | 'lockFile' | 'locked' | 'offline' | 'pull'>,
): Promise<BuildSources> {
  const access = await remoteAccess(session)
  return await openSources({
    store: await session.store(),
    contextDirectory,
    mirrors: [...(flags.mirror ?? []), ...(await readConfigFile(session.terminal.env)).mirrors],
    lock: { path: lockPath(file, flags.lockFile), locked: flags.locked === true },
    offline: flags.offline === true,
    pull: flags.pull === true,
    openRepository: ref => access.source(ref),
  })
}

/** `-f`, or Kubefile in the context. */
export async function findKubefile(contextDirectory: string, file: string | undefined): Promise<string> {
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

/** `NAME=VALUE`, or `NAME` for the environment's value, as docker has it. */
export function parseBuildArgs(values: readonly string[], env: NodeJS.ProcessEnv): Record<string, string> {
  const args: Record<string, string> = {}
  for (const value of values) {
    const equals = value.indexOf('=')
    const name = equals < 0 ? value : value.slice(0, equals)
    if (name === '')
      throw new CloudimgError('USAGE', `reading --build-arg "${value}": the name is missing`, {
        hint: 'write NAME=VALUE',
      })
    const text = equals < 0 ? env[name] : value.slice(equals + 1)
    if (text !== undefined) args[name] = text
  }
  return args
}

/** Seconds; see reproducible-builds.org/specs/source-date-epoch. */
export function sourceDateEpoch(env: NodeJS.ProcessEnv): number {
  const text = env.SOURCE_DATE_EPOCH ?? '0'
  if (!/^\d{1,11}$/.test(text))
    throw new CloudimgError('USAGE', `reading SOURCE_DATE_EPOCH: "${text}" is no number of seconds`)
  return Number(text)
}

function describe(result: BuildResult, names: readonly string[]): string {
  const lines = result.platforms.map(({ platform, manifest, layers, cached }) => {
    const size = layers.reduce((sum, layer) => sum + layer.size, 0)
    return `  ${platform.padEnd(14)} ${manifest}  ${layers.length} layers, ${formatBytes(size)}${cached > 0 ? `, ${cached} cached` : ''}`
  })
  return [
    `built ${names[0] ?? result.index}`,
    `  index          ${result.index}`,
    ...lines,
    ...names.slice(1).map(name => `  also ${name}`),
  ].join('\n')
}
