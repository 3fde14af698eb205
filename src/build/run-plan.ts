import type { Context } from '../core/context.ts'
import { InvalidFileError } from '../core/invalid-file.ts'
import { isCloudimgError } from '../core/error.ts'
import type { Kubefile } from '../kubefile/ast.ts'
import type { ContainerConfig, HistoryEntry } from '../oci/image.ts'
import type { Store } from '../oci/store/store.ts'
import { applyChange, scratchConfig } from './container-config.ts'
import type { BuildContext } from './context.ts'
import { copyFromContext } from './copy-rules.ts'
import { type LayerSpec, splitLayers } from './layers/layer-spec.ts'
import { resolveOwner } from './owner.ts'
import type { BuildPlan, Step } from './plan.ts'
import type { LaidTemplate } from './lay-template.ts'
import { BuildTree, type TreeEntry } from './tree.ts'
import { readTreeText } from './tree-content.ts'

/** What a plan's steps gave, before any layer is made. */
export interface PlannedTree {
  readonly tree: BuildTree
  readonly layers: readonly LayerSpec[]
  readonly config: ContainerConfig
  /** One for each instruction that made no layer, and one for each layer, in order; a layer's is `undefined` here. */
  readonly history: readonly (HistoryEntry | LayerSpec)[]
  readonly templates: readonly LaidTemplate[]
}

export interface PlanInputs {
  readonly kubefile: Kubefile
  readonly context: BuildContext
  readonly store: Store
  /** Fetches what a template consists of and gives its entries. */
  readonly layTemplate: (step: Extract<Step, { kind: 'template' }>) => Promise<LaidTemplate>
}

/** Carries out the steps of one platform on an empty tree. Mistakes are reported at their line of the Kubefile. */
export async function runPlan(plan: BuildPlan, inputs: PlanInputs, ctx: Context): Promise<PlannedTree> {
  const runner = new PlanRunner(inputs, ctx)
  for (const step of plan.steps) await located(inputs.kubefile, step, () => runner.run(step))
  return runner.result()
}

class PlanRunner {
  readonly #inputs: PlanInputs
  readonly #ctx: Context
  readonly #tree = new BuildTree()
  readonly #layers: LayerSpec[] = []
  readonly #history: (HistoryEntry | LayerSpec)[] = []
  readonly #templates: LaidTemplate[] = []
  #config: ContainerConfig = scratchConfig

  constructor(inputs: PlanInputs, ctx: Context) {
    this.#inputs = inputs
    this.#ctx = ctx
  }

  result(): PlannedTree {
    return {
      tree: this.#tree,
      layers: this.#layers,
      config: this.#config,
      history: this.#history,
      templates: this.#templates,
    }
  }

  async run(step: Step): Promise<void> {
    this.#ctx.signal.throwIfAborted()
    switch (step.kind) {
      case 'configure':
        this.#config = applyChange(this.#config, step.change)
        this.#history.push({ created_by: step.createdBy, empty_layer: true })
        return
      case 'copy':
        return this.#copy(step)
      case 'template': {
        const template = await this.#inputs.layTemplate(step)
        this.#templates.push(template)
        this.#add(template.entries, step.createdBy)
        return
      }
      case 'collect':
        // Images are looked for in the finished tree, where this line's own wish is covered too.
        this.#history.push({ created_by: step.createdBy, empty_layer: true })
    }
  }

  async #copy(step: Extract<Step, { kind: 'copy' }>): Promise<void> {
    const owner = await resolveOwner(step.owner, async path => {
      const entry = this.#tree.get(path)
      return entry?.type === 'file' ? await readTreeText(this.#inputs.store, entry) : undefined
    })
    const { entries, warnings } = copyFromContext(this.#inputs.context, this.#tree, { ...step, owner })
    for (const warning of warnings) this.#ctx.events({ kind: 'warning', ...warning })
    this.#add(entries, step.createdBy)
  }

  #add(entries: readonly TreeEntry[], createdBy: string): void {
    for (const entry of entries) this.#tree.put(entry)
    const layers = splitLayers(entries, createdBy)
    this.#layers.push(...layers)
    this.#history.push(...layers)
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
