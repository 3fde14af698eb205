import type { Context } from '../core/context.ts'
import { openRunServices } from './executor/run-services.ts'
import { LayerMaker } from './layers/layer-maker.ts'
import type { RenderChart } from '../workload/render-chart.ts'
import { detectRuntime } from './metadata.ts'
import { pinImages } from './pin-images.ts'
import type { BuildPlan } from './plan.ts'
import { type PlanInputs, runPlan } from './run-plan.ts'

/** Carries the plan out as far as its tree, which pins what it takes from outside, and pins the images that the tree asks for. */
export async function pinPlan(
  plan: BuildPlan,
  inputs: Omit<PlanInputs, 'collect' | 'runs' | 'diffId'> & { readonly render: RenderChart },
  ctx: Context,
): Promise<void> {
  const collect = { kind: 'pin', render: inputs.render } as const
  const { store, sources } = inputs
  // Commands run here too: what they fetch is pinned.
  const maker = new LayerMaker(store, { epoch: 0, compression: 'none', wantsDigest: () => false })
  const diffId: PlanInputs['diffId'] = async (spec, ctx) => (await maker.make(spec, ctx)).diffId
  const runs = openRunServices({}, { home: store.layout.home, images: sources.images, store })
  const { tree, templates, plan: stage } = await runPlan(plan, { ...inputs, collect, runs, diffId }, ctx)
  if (detectRuntime(tree, templates) !== undefined) await pinImages(tree, { ...inputs, platform: stage.platform }, ctx)
}
