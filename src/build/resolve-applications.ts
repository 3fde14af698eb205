import type { Application, Applications } from '../core/application.ts'
import type { Diagnostic } from '../core/diagnostic.ts'
import { InvalidFileError } from '../core/invalid-file.ts'
import type { Kubefile } from '../kubefile/ast.ts'
import { applicationsPath } from './plan-application.ts'
import type { PlannedApplication, StagePlan } from './plan.ts'
import type { BuildTree } from './tree.ts'

/**
 * sealer's applications as the finished tree has them, and what starts. CMD counts in a cluster image only.
 * @throws InvalidFileError for what starts and is of no known type, and for a second CMD of a cluster image.
 */
export function resolveApplications(
  plan: StagePlan,
  tree: BuildTree,
  isCluster: boolean,
  kubefile: Kubefile,
): Applications {
  const applications = plan.applications.map(application => resolveApplication(application, tree))
  const mistakes = [...untyped(plan, applications), ...(isCluster ? secondCmd(plan) : [])]
  if (mistakes.length > 0) throw new InvalidFileError(kubefile.filename, kubefile.source, mistakes)
  const { launch } = plan
  if (launch === undefined || (launch.from === 'CMD' && !isCluster)) return { applications }
  return { applications, launch: { applications: [...launch.applications], commands: [...launch.commands] } }
}

function resolveApplication(planned: PlannedApplication, tree: BuildTree): Application {
  const { name, env, command, inherited } = planned
  const files = inherited?.files ?? filesOf(planned, tree)
  const type = inherited === undefined ? typeOf(files) : inherited.type
  const words = command ?? inherited?.command
  return {
    name,
    ...(type === undefined ? {} : { type }),
    files: [...files],
    env: { ...inherited?.env, ...env },
    ...(words === undefined ? {} : { command: [...words] }),
  }
}

/** In the order of the sources; what directories bring comes behind, in byte order. */
function filesOf({ name, sources }: PlannedApplication, tree: BuildTree): readonly string[] {
  const root = `${applicationsPath}/${name}`
  const found = Array.from(tree.files(root), ({ path }) => path.slice(root.length + 1))
  const named = sources.filter(source => found.includes(source))
  return [...new Set([...named, ...found])]
}

/** As sealer tells them apart, but that a chart needs no more than helm asks for. */
function typeOf(files: readonly string[]): Application['type'] {
  if (files.includes('Chart.yaml')) return 'helm'
  if (files.length === 0) return undefined
  if (files.every(file => file.endsWith('.sh'))) return 'shell'
  return files.every(file => /\.ya?ml$/i.test(file)) ? 'kube' : undefined
}

function untyped({ launch }: StagePlan, applications: readonly Application[]): readonly Diagnostic[] {
  return (launch?.applications ?? []).flatMap((name, index) => {
    const found = applications.find(application => application.name === name)
    if (found === undefined || found.type !== undefined || found.command !== undefined) return []
    return [
      {
        severity: 'error',
        rule: 'application',
        message: `how "${name}" starts is not to be told from its files: ${found.files.join(', ')}`,
        span: launch!.words[index]!.span,
        hint: `say it with APPCMDS ${name} ["…"], or bring a chart, only *.yaml, or only *.sh`,
      },
    ]
  })
}

function secondCmd({ steps }: StagePlan): readonly Diagnostic[] {
  const [, second] = steps.filter(step => step.kind === 'configure' && step.change.set === 'cmd')
  if (second === undefined) return []
  const { start } = second.span
  const end = { ...start, offset: start.offset + 3, column: start.column + 3 }
  return [
    {
      severity: 'error',
      rule: 'repeated-cmd',
      message: 'a cluster image has one CMD',
      span: { start, end },
      hint: 'write the commands into one CMDS ["…", "…"]',
    },
  ]
}
