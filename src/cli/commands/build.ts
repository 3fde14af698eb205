import { resolve } from 'node:path'
import {
  type BuildOptions,
  buildImage,
  type BuildResult,
  planPlatforms,
  readKubefile,
} from '../../build/build-image.ts'
import { openContext } from '../../build/context.ts'
import { parseAnnotation, parseLabels } from '../../build/image-additions.ts'
import type { Compression } from '../../build/layers/compress.ts'
import { formatPlan } from '../../build/plan-text.ts'
import { type BuildSources, openSources } from '../../build/sources.ts'
import { formatBytes } from '../../core/bytes.ts'
import { CloudimgError } from '../../core/error.ts'
import { hostPlatform, type Platform } from '../../core/platform.ts'
import { familiarReference, parseReference, type Reference } from '../../core/reference.ts'
import { writeFileAtomic } from '../../io/files.ts'
import { type Descriptor, mediaTypes } from '../../oci/descriptor.ts'
import { type BuildInput, openBuildInput, openNamedContexts } from '../build-input.ts'
import { type BuildOutput, checkOutputs, parseOutput, writeMetadata, writeOutput } from '../build-output.ts'
import { readConfigFile } from '../config-file.ts'
import { runWishes } from '../run-wishes.ts'
import { remoteAccess } from '../remote-access.ts'
import type { Session } from '../session.ts'

export interface BuildFlags {
  readonly file?: string
  readonly tag?: readonly string[]
  readonly platforms: readonly Platform[] | undefined
  readonly buildArg?: readonly string[]
  readonly buildContext?: readonly string[]
  readonly mirror?: readonly string[]
  readonly lockFile?: string
  readonly locked?: boolean
  readonly offline?: boolean
  readonly compression: Compression
  readonly collect: 'auto' | 'never'
  readonly allowUnresolved?: boolean
  readonly installer: boolean
  readonly plan?: boolean
  readonly target?: string
  readonly pull?: boolean
  readonly prove?: boolean
  readonly executor?: string
  readonly toolbox?: string
  readonly secret?: readonly string[]
  /** False for `--no-cache`. */
  readonly cache: boolean
  readonly cacheFilter?: readonly string[]
  readonly label?: readonly string[]
  readonly annotation?: readonly string[]
  readonly output?: readonly string[]
  readonly iidfile?: string
  readonly metadataFile?: string
}

/** `cloudimg build CONTEXT`: every platform, one index, then the tags, then what else was asked for. */
export async function build(session: Session, contextText: string, flags: BuildFlags): Promise<void> {
  const { ctx, terminal } = session
  const outputs = (flags.output ?? []).map(parseOutput)
  checkOutputs(outputs, session)
  const tags = (flags.tag ?? []).map(tag => parseReference(tag))
  const approve = (index: Descriptor): Promise<void> => prove(session, tags[0], index)
  const options = { ...optionsOf(flags, terminal.env), ...(flags.prove === true ? { approve } : {}) }
  const wishes = {
    platforms: flags.platforms ?? [hostPlatform()],
    buildArgs: parseBuildArgs(flags.buildArg ?? [], terminal.env),
    target: flags.target,
  }
  await using opened = new AsyncDisposableStack()
  const unpinned = () => sourcesOf(session, '.', undefined, { ...flags, locked: false })
  const input = await openBuildInput(session, contextText, flags, unpinned, opened)
  let known: Promise<BuildSources> | undefined
  const sources = () => (known ??= sourcesOf(session, input.directory, input.lockPath, flags))
  const contexts = await openNamedContexts(session, flags.buildContext ?? [], sources, opened)
  if (flags.plan === true) {
    // Most plans name no image: those need no store.
    const open: BuildSources['images']['open'] = async (...args) => (await sources()).images.open(...args)
    const kubefile = readKubefile(input.kubefile, ctx, { target: flags.target })
    const plans = await planPlatforms(kubefile, { ...wishes, contexts }, { open }, ctx)
    session.answer({ plans }, () => plans.map(formatPlan).join('\n\n'))
    return
  }
  const store = await session.store()
  const context = await openContext(input.directory, input.file)
  const request = {
    kubefile: input.kubefile,
    context,
    contexts,
    ...wishes,
    tags,
    sources: await sources(),
    run: runWishes(flags, terminal.env),
    options,
  }
  const result = await buildImage(request, store, ctx)
  const lock = await finishLock(session, input, result, await sources())
  for (const output of outputs) await writeOutput(session, output, { result, tags, epoch: options.epoch })
  await answer(session, { result, lock, names: tags.map(familiarReference), outputs }, flags)
}

function optionsOf(flags: BuildFlags, env: NodeJS.ProcessEnv): BuildOptions {
  const { compression, collect, installer } = flags
  return {
    epoch: sourceDateEpoch(env),
    compression,
    collect,
    allowUnresolved: flags.allowUnresolved === true,
    installer,
    additions: {
      labels: parseLabels(flags.label ?? []),
      annotations: (flags.annotation ?? []).flatMap(parseAnnotation),
    },
    noCache: flags.cache ? (flags.cacheFilter ?? []).flatMap(names => names.split(',')) : 'all',
  }
}

interface LockAnswer {
  readonly path: string | undefined
  readonly changed: boolean
}

async function finishLock(
  { ctx }: Session,
  { lockPath: path, keepsLock }: BuildInput,
  result: BuildResult,
  sources: BuildSources,
): Promise<LockAnswer> {
  const layers = result.platforms.flatMap(platform => platform.layers)
  const compressed = layers.some(({ mediaType }) => mediaType === mediaTypes.layerZstd)
  const { changed } = await sources.finish({ compressed }, ctx)
  if (keepsLock) return { path, changed }
  if (changed) {
    ctx.events({
      kind: 'warning',
      code: 'lock-not-kept',
      message: 'what was pinned goes with the context, which came from elsewhere',
      hint: 'name a lock of your own with --lock-file',
    })
  }
  return { path: undefined, changed: false }
}

interface Built {
  readonly result: BuildResult
  readonly lock: LockAnswer
  readonly names: readonly string[]
  readonly outputs: readonly BuildOutput[]
}

async function answer(session: Session, { result, lock, names, outputs }: Built, flags: BuildFlags): Promise<void> {
  const value = { ...result, lock, tags: names }
  if (flags.iidfile !== undefined) await writeFileAtomic(resolve(flags.iidfile), result.index)
  if (flags.metadataFile !== undefined)
    await writeMetadata(resolve(flags.metadataFile), { result, names, answer: value })
  if (outputs.some(({ dest }) => dest === '-')) return
  session.answer(value, () => (session.quiet ? result.index : describe(result, names, outputs)))
}

async function prove(session: Session, tag: Reference | undefined, index: Descriptor): Promise<void> {
  const { requireProof } = await import('./prove.ts')
  await requireProof(session, tag ?? parseReference('image'), index)
}

async function sourcesOf(
  session: Session,
  contextDirectory: string,
  lock: string | undefined,
  flags: Pick<BuildFlags, 'mirror' | 'locked' | 'offline' | 'pull'>,
): Promise<BuildSources> {
  const access = await remoteAccess(session)
  return await openSources({
    store: await session.store(),
    contextDirectory,
    mirrors: [...(flags.mirror ?? []), ...(await readConfigFile(session.terminal.env)).mirrors],
    lock: { path: lock, locked: flags.locked === true },
    offline: flags.offline === true,
    pull: flags.pull === true,
    openRepository: ref => access.source(ref),
  })
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

function describe(result: BuildResult, names: readonly string[], outputs: readonly BuildOutput[]): string {
  const lines = result.platforms.map(({ platform, manifest, layers, cached }) => {
    const size = layers.reduce((sum, layer) => sum + layer.size, 0)
    return `  ${platform.padEnd(14)} ${manifest}  ${layers.length} layers, ${formatBytes(size)}${cached > 0 ? `, ${cached} cached` : ''}`
  })
  return [
    `built ${names[0] ?? result.index}`,
    `  index          ${result.index}`,
    ...lines,
    ...names.slice(1).map(name => `  also ${name}`),
    ...outputs.map(({ kind, dest }) => `  ${kind.padEnd(14)} ${dest}`),
  ].join('\n')
}
