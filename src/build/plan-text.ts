import { formatPlatform } from '../core/platform.ts'
import type { ConfigChange } from './container-config.ts'
import { formatFileMode } from './file-mode.ts'
import { gitLocator } from './git-source.ts'
import type { BuildPlan, CopyItem, CopyOrigin, CopyStep, RunStep, StageBase, StagePlan, Step } from './plan.ts'

/** A plan as people read it: a line for each step, with the line of the Kubefile it comes from. */
export function formatPlan(plan: BuildPlan): string {
  return [`plan for ${formatPlatform(plan.platform)}`, ...plan.stages.flatMap(stage => formatStage(plan, stage))].join(
    '\n',
  )
}

function formatStage(plan: BuildPlan, stage: StagePlan): readonly string[] {
  const isPlain = plan.stages.length === 1 && stage.base.from === 'scratch'
  const head = isPlain ? [] : [`  stage ${stage.name ?? stage.number}, from ${describeBase(stage.base)}`]
  return [...head, ...stage.steps.map(step => `  ${String(step.span.start.line).padStart(4)}  ${describeStep(step)}`)]
}

function describeBase(base: StageBase): string {
  switch (base.from) {
    case 'scratch':
      return 'scratch'
    case 'stage':
      return `stage ${base.stage}`
    case 'image':
      return `${base.image} (${formatPlatform(base.platform)})`
  }
}

function describeStep(step: Step): string {
  switch (step.kind) {
    case 'copy':
      return describeCopy(step)
    case 'template':
      return `lay down template ${step.template}${step.version === undefined ? '' : ` ${step.version}`}`
    case 'collect':
      return 'collect the container images that the tree names'
    case 'directory':
      return `work in ${step.path}`
    case 'declare':
      return step.what
    case 'configure':
      return describeChange(step.change)
    case 'run':
      return describeRun(step)
  }
}

function describeCopy(step: CopyStep): string {
  const { owner, mode, origin } = step
  const from = describeOrigin(origin)
  const sources = step.sources.map(describeItem)
  const extra = [
    ...(owner === undefined ? [] : [`owner ${owner.user}${owner.group === undefined ? '' : `:${owner.group}`}`]),
    ...(mode === undefined ? [] : [`mode ${formatFileMode(mode)}`]),
    ...(['link', 'parents', 'unpack'] as const).filter(flag => step[flag]),
    ...step.exclude.map(pattern => `without ${pattern}`),
  ]
  return `copy ${sources.join(' ')}${from} to ${step.target}${extra.length === 0 ? '' : ` (${extra.join(', ')})`}`
}

function describeRun({ command, network, mounts, user, workdir }: RunStep): string {
  const extra = [
    ...(workdir === '/' ? [] : [`in ${workdir}`]),
    ...(user === undefined ? [] : [`as ${user}`]),
    ...(network === 'none' ? [] : [`network ${network}`]),
    ...mounts.map(mount => `${mount.type} at ${mount.target ?? `$${mount.type === 'secret' ? mount.env : ''}`}`),
  ]
  return `run ${JSON.stringify(command.argv)}${extra.length === 0 ? '' : ` (${extra.join(', ')})`}`
}

function describeOrigin(origin: CopyOrigin): string {
  switch (origin.from) {
    case 'context':
      return ''
    case 'stage':
      return ` of stage ${origin.stage}`
    case 'image':
      return ` of image ${origin.image}`
    case 'named':
      return ` of the context ${origin.name}`
  }
}

function describeItem(item: CopyItem): string {
  switch (item.kind) {
    case 'path':
      return item.path
    case 'url':
      return item.url
    case 'git':
      return `git ${gitLocator(item.source)}${item.source.subdirectory === '' ? '' : `:${item.source.subdirectory}`}`
    case 'text':
      return `<<${item.name}`
  }
}

function describeChange(change: ConfigChange): string {
  switch (change.set) {
    case 'env':
    case 'labels':
      return `${change.set} ${change.pairs.map(([name, value]) => `${name}=${value}`).join(' ')}`
    case 'cmd':
    case 'entrypoint':
    case 'shell':
      return `${change.set} ${JSON.stringify(change.argv)}`
    case 'workdir':
      return `workdir ${change.path}`
    case 'user':
      return `user ${change.user}`
    case 'ports':
      return `ports ${change.ports.join(' ')}`
    case 'volumes':
      return `volumes ${change.paths.join(' ')}`
    case 'stop-signal':
      return `stop signal ${change.signal}`
    case 'healthcheck':
      return `healthcheck ${JSON.stringify(change.healthcheck.Test)}`
    case 'onbuild':
      return `onbuild ${change.trigger}`
    case 'author':
      return `author ${change.author}`
  }
}
