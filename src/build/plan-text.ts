import { formatPlatform } from '../core/platform.ts'
import type { BuildPlan, Step } from './plan.ts'

/** A plan as people read it: a line for each step, with the line of the Kubefile it comes from. */
export function formatPlan(plan: BuildPlan): string {
  const steps = plan.steps.map(step => `  ${String(step.span.start.line).padStart(4)}  ${describeStep(step)}`)
  return [`plan for ${formatPlatform(plan.platform)}`, ...steps].join('\n')
}

function describeStep(step: Step): string {
  switch (step.kind) {
    case 'copy': {
      const { owner, mode } = step
      const extra = [
        ...(owner === undefined ? [] : [`owner ${owner.user}${owner.group === undefined ? '' : `:${owner.group}`}`]),
        ...(mode === undefined ? [] : [`mode ${mode.toString(8).padStart(4, '0')}`]),
      ]
      return `copy ${step.sources.join(' ')} to ${step.target}${extra.length === 0 ? '' : ` (${extra.join(', ')})`}`
    }
    case 'template':
      return `lay down template ${step.template}${step.version === undefined ? '' : ` ${step.version}`}`
    case 'collect':
      return 'collect the container images that the tree names'
    case 'configure':
      return step.change.set === 'cmd'
        ? `cmd ${JSON.stringify(step.change.argv)}`
        : `${step.change.set} ${step.change.pairs.map(([name, value]) => `${name}=${value}`).join(' ')}`
  }
}
