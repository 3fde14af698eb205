import type { Diagnostic } from '../core/diagnostic.ts'
import { CloudimgError } from '../core/error.ts'
import { type Platform, formatPlatform } from '../core/platform.ts'
import { formatReference, parseReference } from '../core/reference.ts'
import { suggest } from '../core/suggest.ts'
import type { Arg, From, Kubefile, Stage, Word } from '../kubefile/ast.ts'
import { globalScope, type Scope, type ScopeRequest, stageScope } from '../kubefile/scope.ts'
import { envPairs, inheritConfig, scratchConfig, type StageConfig } from './container-config.ts'
import { Expander } from './expander.ts'
import { contextKey, type NamedContexts } from './named-context.ts'
import type { BaseImageName, BuildPlan, StageBase, StagePlan } from './plan.ts'
import { type PlannedStage, type StageStart, planStage } from './plan-stage.ts'

export interface PlanRequest extends ScopeRequest {
  /** The stage that becomes the image, by name or number; the last one unless told. */
  readonly target?: string
  /** What `--build-context` names; none unless told. */
  readonly contexts?: NamedContexts
  /** What is known of the images that FROM names, by `baseKey`. */
  readonly bases: ReadonlyMap<string, StageConfig>
}

export interface PlanResult {
  readonly plan: BuildPlan
  /** What is wrong, and what is understood but cannot be built yet. */
  readonly diagnostics: readonly Diagnostic[]
  /** The images without which the plan is not whole: to be looked up, and planned with again. */
  readonly missing: readonly BaseImageName[]
}

export function baseKey({ image, platform }: BaseImageName): string {
  return `${image} ${formatPlatform(platform)}`
}

/**
 * What one platform's build will do. Pure. Only stages that the target needs are planned; all that cannot be planned is
 * reported at once, each at its place. @throws USAGE for a target that is no stage.
 */
export function planBuild(kubefile: Kubefile, request: PlanRequest): PlanResult {
  return new Planner(kubefile, request).plan()
}

class Planner {
  readonly #kubefile: Kubefile
  readonly #request: PlanRequest
  readonly #diagnostics: Diagnostic[] = []
  readonly #missing = new Map<string, BaseImageName>()
  readonly #planned = new Map<number, PlannedStage>()
  #global: Scope

  constructor(kubefile: Kubefile, request: PlanRequest) {
    this.#kubefile = kubefile
    this.#request = request
    this.#global = globalScope(request)
  }

  plan(): PlanResult {
    const target = findTarget(this.#kubefile.stages, this.#request.target)
    for (const arg of this.#kubefile.globalArgs) this.#addArg(arg)
    this.#planStage(target)
    const stages = [...this.#planned.values()].map(({ plan }) => plan).sort((a, b) => a.number - b.number)
    return {
      plan: { platform: this.#request.platform, stages },
      diagnostics: this.#diagnostics,
      missing: [...this.#missing.values()],
    }
  }

  #addArg(arg: Arg): void {
    const expander = this.#expander()
    const pairs = arg.pairs.map(({ key, value }) => [expander.word(key), value && expander.word(value)] as const)
    for (const [name, text] of pairs) if (name !== undefined) this.#global = this.#global.withArg(name, text)
  }

  #expander(): Expander {
    return new Expander(this.#kubefile.escape, this.#diagnostics, name => this.#global.lookup(name))
  }

  /** The stage, and before it all that it is made of. */
  #planStage(number: number): PlannedStage | undefined {
    const known = this.#planned.get(number)
    if (known !== undefined) return known
    const stage = this.#kubefile.stages[number]!
    const start = this.#start(stage, number)
    if (start === undefined) return undefined
    const planned = planStage(stage, start, {
      kubefile: this.#kubefile,
      contexts: this.#contexts,
      diagnostics: this.#diagnostics,
    })
    this.#planned.set(number, planned)
    for (const used of planned.plan.uses) this.#planStage(used)
    return planned
  }

  #start(stage: Stage, number: number): StageStart | undefined {
    const { from } = stage
    const common = { number, name: from?.as?.text.toLowerCase() }
    const scratch = {
      ...common,
      base: { from: 'scratch' },
      isScratch: true,
      inherited: { config: scratchConfig, author: undefined },
      triggers: [],
    } as const
    if (from === undefined)
      return { ...scratch, platform: this.#request.platform, scope: this.#scope(scratchConfig.Env) }
    const platform = this.#platform(from)
    const image = this.#expander().word(from.image)
    if (platform === undefined || image === undefined) return undefined
    if (image === 'scratch') return { ...scratch, platform, scope: this.#scope(scratchConfig.Env) }
    const context = this.#contexts.get(contextKey(image))
    if (context?.kind === 'directory') return this.#refuseDirectory(image, from.image)
    if (context !== undefined) return this.#fromImage(from, context.image, platform, common)
    const earlier = findStage(this.#kubefile.stages, image, number)
    return earlier === undefined ? this.#fromImage(from, image, platform, common) : this.#fromStage(earlier, common)
  }

  get #contexts(): NamedContexts {
    return this.#request.contexts ?? new Map()
  }

  #refuseDirectory(image: string, { span }: Word): undefined {
    this.#diagnostics.push({
      severity: 'error',
      rule: 'from-directory',
      message: `--build-context has "${image}" as a directory, and a stage begins with an image`,
      span,
      hint: `write FROM scratch and COPY --from=${image} . /`,
    })
  }

  #fromStage(earlier: number, common: Pick<StageStart, 'number' | 'name'>): StageStart | undefined {
    const planned = this.#planStage(earlier)
    if (planned === undefined) return undefined
    const { plan, scope, isScratch } = planned
    return {
      ...common,
      base: { from: 'stage', stage: earlier },
      isScratch,
      platform: plan.platform,
      inherited: { config: inheritConfig(plan.config), author: plan.author, applications: plan.applications },
      triggers: plan.config.OnBuild ?? [],
      scope: stageScope(this.#global, scope.env, scope.args),
    }
  }

  #fromImage(
    from: From,
    image: string,
    platform: Platform,
    common: Pick<StageStart, 'number' | 'name'>,
  ): StageStart | undefined {
    const name = this.#reference(image, from.image)
    if (name === undefined) return undefined
    const base: StageBase = { from: 'image', image: name, platform }
    const known = this.#request.bases.get(baseKey(base))
    if (known === undefined) {
      this.#missing.set(baseKey(base), { image: name, platform })
      return undefined
    }
    const config = inheritConfig(known.config)
    return {
      ...common,
      base,
      isScratch: false,
      platform,
      inherited: { ...known, config },
      triggers: known.config.OnBuild ?? [],
      scope: this.#scope(config.Env),
    }
  }

  #scope(env: readonly string[] = []): Scope {
    return stageScope(this.#global, envPairs(env))
  }

  #reference(image: string, word: Word): string | undefined {
    return this.#expander().at(word, () => {
      if (image === '')
        throw new CloudimgError('USAGE', 'the name of the image is empty', { hint: 'set the ARG it is made of' })
      return formatReference(parseReference(image))
    })
  }

  #platform(from: From): Platform | undefined {
    if (from.platform === undefined) return this.#request.platform
    return this.#expander().platform(from.platform)
  }
}

/** The stage of that name or number above `below`. */
export function findStage(stages: readonly Stage[], name: string, below: number): number | undefined {
  const wanted = name.toLowerCase()
  const named = stages.findIndex(({ from }, number) => number < below && from?.as?.text.toLowerCase() === wanted)
  return named < 0 ? undefined : named
}

function findTarget(stages: readonly Stage[], target: string | undefined): number {
  if (target === undefined) return stages.length - 1
  const named = findStage(stages, target, stages.length)
  if (named !== undefined) return named
  if (/^\d+$/.test(target) && Number(target) < stages.length) return Number(target)
  const names = stages.flatMap(({ from }) => (from?.as === undefined ? [] : [from.as.text]))
  const near = suggest(target, names)
  throw new CloudimgError('USAGE', `reading --target: the Kubefile has no stage "${target}"`, {
    hint:
      near === undefined
        ? `name one of its stages: ${names.join(', ') || `0 to ${stages.length - 1}`}`
        : `did you mean ${near}?`,
  })
}

/** The plan of the stage that becomes the image. */
export function targetStage(plan: BuildPlan): StagePlan {
  return plan.stages.at(-1)!
}
