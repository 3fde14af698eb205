import { dirname } from 'node:path/posix'
import { formatBytes } from '../core/bytes.ts'
import { type Digest, shortDigest } from '../core/digest.ts'
import { quoteArgv } from '../host/quote.ts'
import type { Finding } from '../runtime/finding.ts'
import { type DeployStep, type Op, printContent } from '../runtime/step.ts'
import { rootfsDirectory } from './missing-files.ts'
import type { Plan, PlanNode, PlannedPhase } from './plan.ts'

/** The plan as people read it: who becomes what, what was found, then every step with its commands and files. */
export function formatPlan(plan: Plan, pending: readonly string[]): string {
  const due = new Set(pending)
  const total = plan.phases.reduce((sum, phase) => sum + phase.steps.length, 0)
  const text = [
    heading(plan),
    '',
    ...plan.nodes.map(node => nodeLine(node)),
    ...plan.leaving.map(node => `${nodeLine(node)}, leaves`),
    ...plan.forgotten.map(name => `  node "${name}" is forgotten`),
    `  $ROOTFS stands for the directory of the host's platform below ${dirname(rootfsDirectory(plan.nodes[0]!.rootfs))}`,
    ...(plan.findings.length === 0 ? [] : ['', ...plan.findings.flatMap(findingLines)]),
    ...plan.phases.flatMap(phase => ['', ...phaseLines(phase, due, plan.pointOfNoReturn)]),
    '',
    `${due.size} of ${total} steps would change something${plan.action === 'reset' ? '' : '; then: verify that every node is Ready and has every image, fetch the kubeconfig'}`,
    '',
  ].join('\n')
  return [...new Set(plan.nodes.map(node => node.rootfs))].reduce(shorten, text)
}

function heading({ action, image, cluster }: Plan): string {
  if (image === undefined) return `${action} cluster ${cluster}`
  return `${action} ${image.reference} (${shortDigest(image.digest)}, ${image.version ?? 'unknown version'}) as cluster ${cluster}`
}

function nodeLine(node: PlanNode): string {
  return `  ${node.role.padEnd(6)}  ${node.host}  node "${node.name}" at ${node.address} on ${node.interface}`
}

/** 64 digits in every line hide what differs; `--json` has them. */
function shorten(text: string, rootfs: Digest): string {
  return text.replaceAll(rootfsDirectory(rootfs), '$ROOTFS').replaceAll(rootfs, `sha256:${shortDigest(rootfs)}…`)
}

function findingLines(finding: Finding): readonly string[] {
  return [`  ${finding.severity}: ${finding.host}: ${finding.message} [${finding.id}]`, `    fix: ${finding.fix}`]
}

function phaseLines(phase: PlannedPhase, due: ReadonlySet<string>, noReturn: string | undefined): readonly string[] {
  return [
    `==> ${phase.title}`,
    ...phase.steps.flatMap(step => [
      ...(step.id === noReturn ? ['    --- from here on nothing is taken back ---'] : []),
      ...stepLines(step, due.has(step.id)),
    ]),
  ]
}

function stepLines(step: DeployStep, isDue: boolean): readonly string[] {
  const head = `  ${step.host}: ${step.sentence}${isDue ? '' : ' (done)'}`
  return isDue ? [head, ...step.do.flatMap(opLines).map(line => `      ${line}`)] : [head]
}

function opLines(op: Op): readonly string[] {
  switch (op.op) {
    case 'file':
      return [`write ${op.path} (${modeText(op.mode)})`, ...contentLines(printContent(op.content))]
    case 'upload':
      return [`upload ${op.path} (${modeText(op.mode)}, ${formatBytes(op.size)}, ${shortDigest(op.digest)})`]
    case 'unpack':
      return [`unpack ${op.entries.filter(entry => entry.type === 'file').length} files below ${op.directory}`]
    case 'copy':
      return op.files.map(file => `link or copy ${file.from} to ${file.to}`)
    case 'exec':
      return [`$ ${quoteArgv(op.argv)}`]
    case 'wait':
      return [`wait up to ${op.timeoutSeconds} s until ${op.what}`]
    case 'watch':
      return [`see for ${op.seconds} s that ${op.what}`]
    case 'pause':
      return [`wait ${op.seconds} s`]
    case 'fetch':
      return [`bring ${op.path} to the operator as ${op.name}`]
    case 'push':
      return [`push what ${op.url} lacks`]
    case 'installer':
      return [`$ ${quoteArgv([`${op.rootfs}/scripts/cloudimg-node`, op.verb, ...op.args])}`]
  }
}

function modeText(mode: number): string {
  return mode.toString(8).padStart(4, '0')
}

/** Long lists are for machines: `--json` has them whole. */
const shownLines = 12

function contentLines(text: string): readonly string[] {
  const lines = text.replace(/\n$/, '').split('\n')
  const shown = lines.slice(0, shownLines).map(line => `| ${line}`)
  return lines.length > shownLines ? [...shown, `| … ${lines.length - shownLines} more lines`] : shown
}
