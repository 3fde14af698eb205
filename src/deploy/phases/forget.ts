import type { Phase } from '../plan.ts'

/** Members without a machine go first: a dead server weighs on the majority until it is forgotten. */
export const forget: Phase = {
  title: 'Forget',
  limit: () => 1,
  steps: ({ forgotten, runtime, nodes }) => forgotten.flatMap(member => runtime.forget(member, nodes[0])),
}
