import type { Context } from '../core/context.ts'
import type { RenderChart } from '../workload/render-chart.ts'
import { detectRuntime } from './metadata.ts'
import { pinImages } from './pin-images.ts'
import type { BuildPlan } from './plan.ts'
import { type PlanInputs, runPlan } from './run-plan.ts'

/** Carries the plan out as far as its tree, which pins what it takes from outside, and pins the images that the tree asks for. */
export async function pinPlan(
  plan: BuildPlan,
  inputs: Omit<PlanInputs, 'collect'> & { readonly render: RenderChart },
  ctx: Context,
): Promise<void> {
  const collect = { kind: 'pin', render: inputs.render } as const
  const { tree, templates, plan: stage } = await runPlan(plan, { ...inputs, collect }, ctx)
  if (detectRuntime(tree, templates) !== undefined) await pinImages(tree, { ...inputs, platform: stage.platform }, ctx)
}
