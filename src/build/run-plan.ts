import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { CloudimgError, isCloudimgError } from '../core/error.ts'
import { InvalidFileError } from '../core/invalid-file.ts'
import type { Platform } from '../core/platform.ts'
import type { Kubefile } from '../kubefile/ast.ts'
import type { HistoryEntry } from '../oci/image.ts'
import type { Store } from '../oci/store/store.ts'
import { discoverImages } from '../workload/discover-images.ts'
import type { RenderChart } from '../workload/render-chart.ts'
import type { BaseImage } from './base-images.ts'
import { collectImages } from './collect-images.ts'
import type { BuildContext } from './context.ts'
import { copyFrom } from './copy-rules.ts'
import { type CopySource, treeSource } from './copy-source.ts'
import { findCopySources } from './find-copy-sources.ts'
import { type LayerSpec, roomFor, splitLayers } from './layers/layer-spec.ts'
import type { LaidTemplate } from './lay-template.ts'
import type { RunServices } from './executor/run-services.ts'
import { StageRuns } from './executor/stage-runs.ts'
import { resolveOwner } from './owner.ts'
import type { NamedContexts } from './named-context.ts'
import { pinImages } from './pin-images.ts'
import type { BuildPlan, CopyOrigin, CopyStep, OwnerWish, RunStep, StagePlan, Step } from './plan.ts'
import type { BuildSources } from './sources.ts'
import { scheduleStages } from './stage-schedule.ts'
import { BuildTree, type LayerEntry } from './tree.ts'
import { readTreeText } from './tree-content.ts'
import { unsettled } from './tree-images.ts'
import { treeView } from './tree-view.ts'

/** What a stage's steps gave, before any layer is made. */
export interface PlannedTree {
  readonly plan: StagePlan
  /** The image whose layers and history stand before those below; undefined on scratch. */
  readonly base: BaseImage | undefined
  readonly tree: BuildTree
  readonly layers: readonly LayerSpec[]
  /** One for each instruction that made no layer, and one for each layer, in order; a layer's is the layer itself. */
  readonly history: readonly (HistoryEntry | LayerSpec)[]
  readonly templates: readonly LaidTemplate[]
  /** Why the image is not sealed, as far as its instructions are the reason. */
  readonly unsealed: readonly string[]
}

export interface PlanInputs {
  readonly kubefile: Kubefile
  readonly context: BuildContext
  readonly contexts: NamedContexts
  /** What COPY sees of a directory; shared by the platforms of a build. */
  readonly copySource: (context: BuildContext) => CopySource
  /** Whether `--no-cache` speaks of the stage: what it makes is made anew. */
  readonly isFresh: (stage: StagePlan) => boolean
  readonly store: Store
  readonly sources: BuildSources
  readonly runs: RunServices
  /** What a layer will be: what RUN results are known by. */
  readonly diffId: (spec: LayerSpec, ctx: Context) => Promise<Digest>
  /** What `BASE rootfs` does with the images that it finds; nothing where absent. */
  readonly collect?: CollectWish | undefined
}

export type CollectWish =
  | { readonly kind: 'collect'; readonly render: RenderChart; readonly allowMissing: boolean }
  /** `cloudimg lock`: only which they are. */
  | { readonly kind: 'pin'; readonly render: RenderChart }

/** Carries out the plan's stages, side by side, and gives the last one's tree. Mistakes are reported at their line of the Kubefile. */
export async function runPlan(plan: BuildPlan, inputs: PlanInputs, ctx: Context): Promise<PlannedTree> {
  const done = await scheduleStages<PlannedTree>(plan.stages, (...stage) => runStage(inputs, ...stage), ctx)
  // What an unsealed stage made may have been copied from it.
  const unsealed = [...new Set([...done.values()].flatMap(stage => stage.unsealed))]
  return { ...done.get(plan.stages.at(-1)!.number)!, unsealed }
}

async function runStage(
  inputs: PlanInputs,
  stage: StagePlan,
  done: ReadonlyMap<number, PlannedTree>,
  ctx: Context,
): Promise<PlannedTree> {
  const runner = new StageRunner(await begin(stage, done, inputs, ctx), done, inputs, ctx)
  try {
    for (const step of stage.steps) await located(inputs.kubefile, step, () => runner.run(step))
  } finally {
    await runner.close()
  }
  return runner.result()
}

async function begin(
  plan: StagePlan,
  done: ReadonlyMap<number, PlannedTree>,
  { sources }: PlanInputs,
  ctx: Context,
): Promise<PlannedTree> {
  const nothing = { plan, base: undefined, tree: new BuildTree(), layers: [], history: [], templates: [], unsealed: [] }
  switch (plan.base.from) {
    case 'scratch':
      return nothing
    case 'stage': {
      const earlier = done.get(plan.base.stage)!
      return { ...earlier, plan, tree: earlier.tree.clone() }
    }
    case 'image': {
      const base = await sources.images.open(plan.base, ctx)
      // The image is shared by all stages that begin with it: each changes a tree of its own.
      return { ...nothing, base, tree: (await base.tree()).clone() }
    }
  }
}

class StageRunner {
  readonly #start: PlannedTree
  readonly #done: ReadonlyMap<number, PlannedTree>
  readonly #inputs: PlanInputs
  readonly #ctx: Context
  readonly #tree: BuildTree
  readonly #layers: LayerSpec[]
  readonly #history: (HistoryEntry | LayerSpec)[]
  readonly #templates: LaidTemplate[]
  readonly #unsealed: string[]
  readonly #runs: StageRuns

  constructor(start: PlannedTree, done: ReadonlyMap<number, PlannedTree>, inputs: PlanInputs, ctx: Context) {
    this.#start = start
    this.#done = done
    this.#inputs = inputs
    this.#ctx = ctx
    this.#tree = start.tree
    this.#layers = [...start.layers]
    this.#history = [...start.history]
    this.#templates = [...start.templates]
    this.#unsealed = [...start.unsealed]
    this.#runs = new StageRuns(inputs.runs, {
      tree: this.#tree,
      platform: start.plan.platform,
      store: inputs.store,
      sources: inputs.sources,
      isFresh: inputs.isFresh(start.plan),
      layers: ctx => this.#diffIds(ctx),
      origin: origin => this.#origin(origin),
    })
  }

  result(): PlannedTree {
    const { plan, base } = this.#start
    const [tree, layers, history, templates] = [this.#tree, this.#layers, this.#history, this.#templates]
    return { plan, base, tree, layers, history, templates, unsealed: this.#unsealed }
  }

  async close(): Promise<void> {
    await this.#runs.close()
  }

  get #platform(): Platform {
    return this.#start.plan.platform
  }

  async run(step: Step): Promise<void> {
    this.#ctx.signal.throwIfAborted()
    switch (step.kind) {
      case 'configure':
      case 'declare':
        return this.#remember(step.createdBy)
      case 'copy':
        return this.#copy(step)
      case 'run':
        return this.#runCommand(step)
      case 'directory':
        return this.#makeDirectory(step.path, step.owner, step.createdBy)
      case 'template': {
        const { template: name, version } = step
        const template = await this.#inputs.sources.templates.lay(name, version, this.#platform, this.#ctx)
        this.#templates.push(template)
        return this.#add(template.entries, step.createdBy)
      }
      case 'collect':
        return this.#collect(step.createdBy)
    }
  }

  async #runCommand(step: RunStep): Promise<void> {
    const { entries, unsealed } = await this.#runs.run(step, this.#ctx)
    this.#unsealed.push(...unsealed)
    if (entries.length === 0) this.#remember(step.createdBy)
    else this.#add(entries, step.createdBy)
  }

  async #diffIds(ctx: Context): Promise<readonly Digest[]> {
    const { base } = this.#start
    const own = await Promise.all(this.#layers.map(spec => this.#inputs.diffId(spec, ctx)))
    return [...(base?.config.rootfs.diff_ids ?? []), ...own]
  }

  async #collect(createdBy: string): Promise<void> {
    const { store, sources, collect } = this.#inputs
    if (collect?.kind === 'pin')
      await pinImages(this.#tree, { store, sources, platform: this.#platform, render: collect.render }, this.#ctx)
    if (collect?.kind !== 'collect') return this.#remember(createdBy)
    const found = await discoverImages(treeView(store, this.#tree, this.#ctx), collect, this.#ctx)
    const requests = await unsettled(found.requests, store, this.#tree, this.#ctx)
    const mostLayers = roomFor((this.#start.base?.manifest.layers.length ?? 0) + this.#layers.length)
    const { allowMissing } = collect
    const collecting = { store, sources, platform: this.#platform, createdBy, mostLayers, allowMissing }
    const { layers } = await collectImages(requests, this.#tree, collecting, this.#ctx)
    if (layers.length === 0) return this.#remember(createdBy)
    this.#addLayers(layers)
  }

  async #copy(step: CopyStep): Promise<void> {
    const { store, sources } = this.#inputs
    const source = await this.#origin(step.origin)
    const items = await findCopySources(step, source, { store, sources }, this.#ctx)
    const owner = step.owner === undefined ? undefined : await this.#owner(step.owner)
    const { entries, warnings } = copyFrom(source, this.#tree, { ...step, sources: items, owner })
    for (const warning of warnings) this.#ctx.events({ kind: 'warning', ...warning })
    this.#add(entries, step.createdBy)
  }

  async #origin(origin: CopyOrigin): Promise<CopySource> {
    switch (origin.from) {
      case 'context':
        return this.#inputs.copySource(this.#inputs.context)
      case 'named': {
        const context = this.#inputs.contexts.get(origin.name)
        if (context?.kind !== 'directory') throw new CloudimgError('BUG', `no context "${origin.name}"`)
        return this.#inputs.copySource(context.context)
      }
      case 'stage': {
        const { tree, plan } = this.#done.get(origin.stage)!
        return treeSource(tree, `stage "${plan.name ?? plan.number}"`)
      }
      case 'image': {
        const name = { image: origin.image, platform: this.#platform }
        const image = await this.#inputs.sources.images.open(name, this.#ctx)
        return treeSource(await image.tree(), `image "${origin.image}"`)
      }
    }
  }

  #owner(wish: OwnerWish): ReturnType<typeof resolveOwner> {
    return resolveOwner(wish, async path => {
      const entry = this.#tree.get(this.#tree.resolve(path))
      return entry?.type === 'file' ? await readTreeText(this.#inputs.store, entry, this.#ctx) : undefined
    })
  }

  /** As BuildKit: what is missing is made 0755; what is there stays as it is. */
  async #makeDirectory(path: string, wish: OwnerWish | undefined, createdBy: string): Promise<void> {
    const owner = wish === undefined ? { uid: 0, gid: 0 } : await this.#owner(wish)
    const parts = this.#tree
      .resolve(path)
      .split('/')
      .filter(part => part !== '')
    const missing = parts
      .map((_, depth) => parts.slice(0, depth + 1).join('/'))
      .filter(parent => !this.#tree.isDirectory(parent))
    if (missing.length === 0) return this.#remember(createdBy)
    refuseFiles(this.#tree, missing)
    this.#add(
      missing.map(parent => ({ type: 'directory', path: parent, mode: 0o755, ...owner })),
      createdBy,
    )
  }

  #remember(createdBy: string): void {
    this.#history.push({ created_by: createdBy, empty_layer: true })
  }

  #add(entries: readonly LayerEntry[], createdBy: string): void {
    this.#addLayers(splitLayers(entries, createdBy))
  }

  #addLayers(specs: readonly LayerSpec[]): void {
    for (const { entries } of specs) {
      for (const entry of entries) this.#tree.apply(entry)
      this.#runs.changed(entries)
    }
    const isFresh = this.#inputs.isFresh(this.#start.plan)
    const layers = specs.map(spec => (isFresh ? { ...spec, isFresh } : spec))
    this.#layers.push(...layers)
    this.#history.push(...layers)
  }
}

function refuseFiles(tree: BuildTree, paths: readonly string[]): void {
  for (const path of paths) {
    const entry = tree.get(path)
    if (entry === undefined) continue
    throw new CloudimgError('CONTEXT_INVALID', `making directory "/${path}": a ${entry.type} is there`, {
      hint: 'choose another WORKDIR',
    })
  }
}

const about = new Set<string>(['CONTEXT_INVALID', 'USAGE', 'ARTIFACT_UNKNOWN'])

/** What is wrong with what a line asks for is shown at that line; trouble with disks and networks is not the line's. */
async function located(kubefile: Kubefile, step: Step, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isCloudimgError(error) || !about.has(error.code) || error instanceof InvalidFileError) throw error
    throw new InvalidFileError(kubefile.filename, kubefile.source, [
      {
        severity: 'error',
        rule: error.code.toLowerCase().replaceAll('_', '-'),
        message: error.message,
        span: step.span,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      },
    ])
  }
}
