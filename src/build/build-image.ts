import { offlineErrorFor } from '../artifact/fetch.ts'
import { applicationsAnnotation, formatApplications, parseApplications } from '../core/application.ts'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { CloudimgError, isCloudimgError } from '../core/error.ts'
import { InvalidFileError } from '../core/invalid-file.ts'
import { formatPlatform, hostPlatform, type Platform } from '../core/platform.ts'
import { formatReference, type Reference } from '../core/reference.ts'
import type { Kubefile } from '../kubefile/ast.ts'
import { lintKubefile, type LintOptions } from '../kubefile/lint/lint.ts'
import { parseKubefile } from '../kubefile/parse.ts'
import { unusedBuildArgs } from '../kubefile/scope.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { HistoryEntry } from '../oci/image.ts'
import type { Store } from '../oci/store/store.ts'
import { helmRenderer } from '../workload/render-chart.ts'
import { assembleImage, assembleIndex, timestamp } from './assemble-image.ts'
import { baseAnnotations, baseHistory, baseLayers } from './base-layers.ts'
import type { BaseImages } from './base-images.ts'
import { clusterLayerEntries } from './cluster-layer.ts'
import type { BuildContext } from './context.ts'
import { contextSources } from './copy-source.ts'
import { annotationsOf, type ImageAdditions, noAdditions } from './image-additions.ts'
import { LayerMaker, type MadeLayer } from './layers/layer-maker.ts'
import { type LayerSpec, maxLayers, packLayers, splitLayers } from './layers/layer-spec.ts'
import type { Compression } from './layers/compress.ts'
import {
  describeCluster,
  detectRuntime,
  inheritedDigests,
  inheritedMetadata,
  isArtifactPath,
  isListedPath,
  isStandIn,
} from './metadata.ts'
import type { NamedContexts } from './named-context.ts'
import { freshStages, type NoCache } from './no-cache.ts'
import type { BuildPlan } from './plan.ts'
import { openRunServices, type RunServices, type RunWishes } from './executor/run-services.ts'
import { clearAbandonedRuns } from './executor/workspace.ts'
import { baseKey, planBuild, type PlanResult, targetStage } from './plan-build.ts'
import { kubeVersionLabel } from './plan-application.ts'
import { resolveApplications } from './resolve-applications.ts'
import { type PlanInputs, type PlannedTree, runPlan } from './run-plan.ts'
import { sealTree } from './seal.ts'
import type { BuildSources } from './sources.ts'
import { type StageConfig, withLabels } from './container-config.ts'

export interface BuildRequest {
  readonly kubefile: { readonly filename: string; readonly source: string }
  readonly context: BuildContext
  /** What `--build-context` names; none unless told. */
  readonly contexts?: NamedContexts
  readonly platforms: readonly Platform[]
  readonly buildArgs: Readonly<Record<string, string>>
  readonly tags: readonly Reference[]
  readonly target?: string | undefined
  /** Templates, images and files from outside: mirrors, lock, cache. */
  readonly sources: BuildSources
  /** How RUN is run; by whatever works here, without secrets, unless told. */
  readonly run?: Partial<RunWishes>
  readonly options: BuildOptions
}

export interface BuildOptions {
  /** Seconds since 1970 for every time in the image: `SOURCE_DATE_EPOCH`, 0 unless told. */
  readonly epoch: number
  readonly compression: Compression
  /** `never`: images that the tree names are not brought along, and the image says that it is unsealed. */
  readonly collect: 'auto' | 'never'
  /** Container images that cannot be had leave the image unsealed instead of failing the build; false unless told. */
  readonly allowUnresolved?: boolean
  readonly installer: boolean
  /** Looks at the finished image before any name stands for it: what this throws leaves the names as they are. */
  readonly approve?: (index: Descriptor, ctx: Context) => Promise<void>
  /** Labels and annotations of the command line; none unless told. */
  readonly additions?: ImageAdditions
  /** What is made anew whatever an earlier build left; nothing unless told. */
  readonly noCache?: NoCache
}

export interface BuiltPlatform {
  readonly platform: string
  readonly manifest: Digest
  readonly config: Digest
  readonly layers: readonly {
    readonly digest: Digest
    readonly diffId: Digest
    readonly size: number
    readonly mediaType: string
  }[]
  /** Layers that were there from an earlier build. */
  readonly cached: number
}

export interface BuildResult {
  readonly index: Digest
  readonly platforms: readonly BuiltPlatform[]
}

/** Parses and lints, and throws all mistakes at once with their places. Warnings become events. */
export function readKubefile(
  { filename, source }: BuildRequest['kubefile'],
  ctx: Context,
  options: Pick<LintOptions, 'target'> = {},
): Kubefile {
  const { kubefile } = parseKubefile(source, filename)
  const diagnostics = lintKubefile(source, filename, options)
  if (kubefile === undefined || diagnostics.some(({ severity }) => severity === 'error'))
    throw new InvalidFileError(filename, source, diagnostics)
  for (const { rule, message, hint, span } of diagnostics) {
    ctx.events({
      kind: 'warning',
      code: rule,
      message: `${filename}:${span.start.line}: ${message}`,
      ...(hint === undefined ? {} : { hint }),
    })
  }
  return kubefile
}

export interface PlanWishes {
  readonly platforms: readonly Platform[]
  readonly buildArgs: Readonly<Record<string, string>>
  /** The stage that becomes the image; the last one unless told. */
  readonly target?: string | undefined
  readonly contexts?: NamedContexts
}

/**
 * The plans of all platforms; what `build --plan` prints. Images that FROM names are looked up for their configs.
 * @throws InvalidFileError with everything that cannot be built, and what `BaseImages.open` throws.
 */
export async function planPlatforms(
  kubefile: Kubefile,
  wishes: PlanWishes,
  images: Pick<BaseImages, 'open'>,
  ctx: Context,
): Promise<readonly BuildPlan[]> {
  const plans = await Promise.all(
    wishes.platforms.map(platform => planPlatform(kubefile, platform, wishes, images, ctx)),
  )
  const failing = plans.find(({ diagnostics }) => diagnostics.length > 0)
  if (failing !== undefined) throw new InvalidFileError(kubefile.filename, kubefile.source, failing.diagnostics)
  return plans.map(({ plan }) => plan)
}

// A base may bring ONBUILD lines that ask for further stages, which begin with further images.
async function planPlatform(
  kubefile: Kubefile,
  platform: Platform,
  { buildArgs, target, contexts = new Map() }: PlanWishes,
  images: Pick<BaseImages, 'open'>,
  ctx: Context,
): Promise<PlanResult> {
  const bases = new Map<string, StageConfig>()
  for (;;) {
    const request = { platform, buildPlatform: hostPlatform(), buildArgs, bases, contexts }
    const result = planBuild(kubefile, { ...request, ...(target === undefined ? {} : { target }) })
    if (result.missing.length === 0 || result.diagnostics.length > 0) return result
    for (const name of result.missing) {
      const { config, manifest } = await images.open(name, ctx)
      const { applications } = parseApplications(manifest.annotations)
      bases.set(baseKey(name), {
        config: config.config ?? {},
        author: config.author,
        applications: applications.map(inherited => ({ name: inherited.name, sources: [], env: {}, inherited })),
      })
    }
  }
}

/**
 * Builds every platform in parallel, then the index, then moves the tags: nobody sees a name before all of it is there.
 * @throws KUBEFILE_INVALID, CONTEXT_INVALID, IMAGE_UNRESOLVED, the artifact room's errors, DISK_FULL.
 */
export async function buildImage(request: BuildRequest, store: Store, ctx: Context): Promise<BuildResult> {
  const kubefile = readKubefile(request.kubefile, ctx, { target: request.target })
  warnOfUnusedArgs(kubefile, request.buildArgs, ctx)
  const plans = await planPlatforms(kubefile, request, request.sources.images, ctx)
  const { epoch, compression } = request.options
  const maker = new LayerMaker(store, {
    epoch,
    compression,
    wantsDigest: path => isArtifactPath(path) || isListedPath(path),
  })
  const { home } = store.layout
  await clearAbandonedRuns(home)
  const runs = openRunServices(request.run ?? {}, { home, images: request.sources.images, store })
  const shared = { store, maker, runs, copySource: contextSources() }
  const built = await buildPlatforms(
    plans.map(plan => new PlatformBuild(plan, kubefile, request, shared)),
    ctx,
  )
  const { annotations } = request.options.additions ?? noAdditions
  const entries = built.map(({ manifest, platform }) =>
    withAnnotations(manifest, annotationsOf(annotations, 'manifest-descriptor', platform)),
  )
  const index = await assembleIndex(store, entries, annotationsOf(annotations, 'index'))
  await request.options.approve?.(index, ctx)
  for (const tag of request.tags) await store.tag(formatReference(tag), index, ctx)
  return { index: index.digest, platforms: built.map(describePlatform) }
}

function withAnnotations(descriptor: Descriptor, annotations: Readonly<Record<string, string>>): Descriptor {
  return Object.keys(annotations).length === 0 ? descriptor : { ...descriptor, annotations }
}

function warnOfUnusedArgs(kubefile: Kubefile, buildArgs: Readonly<Record<string, string>>, ctx: Context): void {
  const unused = unusedBuildArgs(kubefile, buildArgs)
  if (unused.length === 0) return
  ctx.events({ kind: 'warning', code: 'unused-build-arg', message: `no ARG takes --build-arg ${unused.join(', ')}` })
}

/** The first failure stops the other platforms; what an offline build lacks is gathered from all of them. */
async function buildPlatforms(builds: readonly PlatformBuild[], ctx: Context): Promise<readonly PlatformResult[]> {
  const failed = new AbortController()
  const signal = AbortSignal.any([ctx.signal, failed.signal])
  const failures: unknown[] = []
  const results = await Promise.all(
    builds.map(build =>
      build.build({ ...ctx, signal }).catch((error: unknown) => {
        failures.push(error)
        if (!isCloudimgError(error, 'OFFLINE')) failed.abort(error)
        return undefined
      }),
    ),
  )
  ctx.signal.throwIfAborted()
  const offline = failures.filter(error => isCloudimgError(error, 'OFFLINE'))
  if (offline.length > 1 && offline.length === failures.length) {
    throw offlineErrorFor([...new Set(offline.flatMap(error => String(error.data.missing).split(', ')))].sort())
  }
  if (failures.length > 0) throw failures[0]
  return results.filter(result => result !== undefined)
}

interface PlatformResult {
  readonly platform: Platform
  readonly manifest: Descriptor
  readonly config: Descriptor
  readonly layers: readonly MadeLayer[]
}

/** What the platforms of one build have in common. */
interface Shared {
  readonly store: Store
  readonly maker: LayerMaker
  readonly runs: RunServices
  readonly copySource: PlanInputs['copySource']
}

class PlatformBuild {
  readonly #plan: BuildPlan
  readonly #kubefile: Kubefile
  readonly #request: BuildRequest
  readonly #shared: Shared

  constructor(plan: BuildPlan, kubefile: Kubefile, request: BuildRequest, shared: Shared) {
    this.#plan = plan
    this.#kubefile = kubefile
    this.#request = request
    this.#shared = shared
  }

  async build(ctx: Context): Promise<PlatformResult> {
    const { platform } = targetStage(this.#plan)
    const { sources, context, contexts = new Map(), options } = this.#request
    const { collect, allowUnresolved = false, noCache = [] } = options
    const { store, maker, runs, copySource } = this.#shared
    const render = helmRenderer()
    const collecting =
      collect === 'never' ? {} : { collect: { kind: 'collect', render, allowMissing: allowUnresolved } as const }
    const unsealed = await runPlan(
      this.#plan,
      {
        store,
        sources,
        ...collecting,
        kubefile: this.#kubefile,
        context,
        contexts,
        copySource,
        isFresh: freshStages(noCache, this.#kubefile),
        runs,
        diffId: async (spec, ctx) => (await maker.make(spec, ctx)).diffId,
      },
      ctx,
    )
    const { planned, ...images } = await sealTree(unsealed, { store, sources, collect, render, allowUnresolved }, ctx)
    const below = planned.base === undefined ? [] : baseLayers(planned.base)
    if (planned.layers.length === 0 && below.length === 0)
      throw new CloudimgError('CONTEXT_INVALID', 'building the image: no instruction puts anything into it')
    const specs = packLayers(planned.layers, Math.max(1, maxLayers - 1 - below.length))
    const layers = await Promise.all(specs.map(spec => maker.make(spec, ctx)))
    const history = historyOf(planned, specs)
    const runtime = detectRuntime(planned.tree, planned.templates)
    const annotations: Record<string, string> = {}
    const applications = resolveApplications(planned.plan, planned.tree, runtime !== undefined, this.#kubefile)
    if (applications.applications.length > 0 || applications.launch !== undefined)
      annotations[applicationsAnnotation] = formatApplications(applications)
    if (runtime !== undefined) {
      const files = new Map([
        ...(await inheritedDigests(store, planned.tree, ctx)),
        ...layers.flatMap(layer => Object.entries(layer.files)),
      ])
      const metadata = describeCluster({
        runtime,
        platform,
        tree: planned.tree,
        templates: planned.templates,
        files,
        standIn: await isStandIn(store, planned.tree, ctx),
        ...images,
        inherited: await inheritedMetadata(store, planned.tree, ctx),
        applications,
        kubeVersion: planned.plan.config.Labels?.[kubeVersionLabel],
      })
      const last = await this.#clusterLayer(planned, metadata)
      layers.push(await maker.make(last, ctx))
      history.push({ created_by: last.createdBy })
      annotations['io.cloudimg.runtime'] = runtime
      if (metadata.version !== undefined) annotations['io.cloudimg.runtime.version'] = metadata.version
    }
    const { epoch, additions = noAdditions } = this.#request.options
    const { manifest, config } = await assembleImage(store, {
      platform,
      config: withLabels(planned.plan.config, additions.labels),
      author: planned.plan.author,
      history: [...baseHistory(planned.base), ...history.map(entry => ({ created: timestamp(epoch), ...entry }))],
      layers: [...below, ...layers],
      annotations: {
        ...annotations,
        ...baseAnnotations(planned.base),
        ...annotationsOf(additions.annotations, 'manifest', platform),
      },
      epoch,
    })
    return { platform, manifest, config, layers: [...below, ...layers] }
  }

  async #clusterLayer(planned: PlannedTree, metadata: Parameters<typeof clusterLayerEntries>[2]): Promise<LayerSpec> {
    const entries = await clusterLayerEntries(
      planned.tree,
      this.#kubefile.source,
      metadata,
      this.#request.options.installer,
    )
    const [spec] = splitLayers(entries, 'cloudimg: Kubefile, Metadata, installer')
    return spec!
  }
}

// History and layers must agree in number and order; where layers were joined the joined one stands at its first part.
function historyOf(planned: PlannedTree, specs: readonly LayerSpec[]): HistoryEntry[] {
  if (specs.length === planned.layers.length) {
    return planned.history.map(entry => ('entries' in entry ? { created_by: entry.createdBy } : entry))
  }
  const empty = planned.history.filter((entry): entry is HistoryEntry => !('entries' in entry))
  return [...empty, ...specs.map(spec => ({ created_by: spec.createdBy }))]
}

function describePlatform({ platform, manifest, config, layers }: PlatformResult): BuiltPlatform {
  return {
    platform: formatPlatform(platform),
    manifest: manifest.digest,
    config: config.digest,
    layers: layers.map(({ descriptor: { digest, size, mediaType }, diffId }) => ({ digest, diffId, size, mediaType })),
    cached: layers.filter(layer => layer.cached).length,
  }
}
