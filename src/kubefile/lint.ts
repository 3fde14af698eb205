import type { Diagnostic, Span } from '../core/diagnostic.ts'
import { isCloudimgError } from '../core/error.ts'
import { parseReference } from '../core/reference.ts'
import {
  type Base,
  type From,
  type Instruction,
  type Kubefile,
  type Stage,
  findFlag,
  keywordSpan,
  spanInWord,
} from './ast.ts'
import { isTemplatePath, rootfsTemplate } from './base-template.ts'
import { explainK3sVersion } from './k3s-version.ts'
import { unquoteWord } from './words.ts'

type Rule = (kubefile: Kubefile) => readonly Diagnostic[]

/** What the text alone shows to be wrong, beyond its grammar. Words with variables are left to the build. */
export function lintKubefile(kubefile: Kubefile): readonly Diagnostic[] {
  return rules.flatMap(rule => rule(kubefile))
}

const rules: readonly Rule[] = [
  checkStageNames,
  checkImages,
  checkCopyFrom,
  kubefile => allInstructions(kubefile).flatMap(checkVersions),
  kubefile => allInstructions(kubefile).flatMap(checkSources),
  kubefile => kubefile.stages.flatMap(checkCommands),
]

function error(rule: string, message: string, span: Span, hint: string): Diagnostic {
  return { severity: 'error', rule, message, span, hint }
}

function allInstructions({ stages }: Kubefile): readonly Instruction[] {
  return stages
    .flatMap(stage => stage.instructions)
    .map(instruction => (instruction.kind === 'ONBUILD' ? instruction.instruction : instruction))
}

function stageName({ from }: Stage): string | undefined {
  return from?.as?.text.toLowerCase()
}

const stageNamePattern = /^[a-z][a-z0-9_.-]*$/

function checkStageNames({ stages }: Kubefile): readonly Diagnostic[] {
  const seen = new Set<string>()
  return stages.flatMap(stage => {
    const name = stageName(stage)
    const span = stage.from?.as?.span
    if (name === undefined || span === undefined) return []
    const isRepeated = seen.has(name)
    seen.add(name)
    if (!stageNamePattern.test(name)) {
      const hint = 'begin with a letter; go on with letters, digits, "-", "_" and "."'
      return [error('stage-name', `"${name}" is no name for a stage`, span, hint)]
    }
    if (name === 'scratch') return [error('stage-name', '"scratch" is the empty image', span, 'choose another name')]
    return isRepeated ? [error('stage-name', `another stage is called "${name}"`, span, 'choose another name')] : []
  })
}

/** Literal image names of FROM that are no stage. A `+` in a tag gets its own hint. */
function checkImages({ stages, escape }: Kubefile): readonly Diagnostic[] {
  const earlier = new Set<string>(['scratch'])
  return stages.flatMap(stage => {
    const diagnostics = stage.from === undefined ? [] : checkImage(stage.from, earlier, escape)
    const name = stageName(stage)
    if (name !== undefined) earlier.add(name)
    return diagnostics
  })
}

function checkImage({ image }: From, earlier: ReadonlySet<string>, escape: Kubefile['escape']): readonly Diagnostic[] {
  const name = unquoteWord(image.text, escape)
  if (image.text.includes('$') || earlier.has(name.toLowerCase())) return []
  try {
    parseReference(name)
    return []
  } catch (thrown) {
    if (!isCloudimgError(thrown)) throw thrown
    const why = thrown.message.replace(/^reading image reference ".*?": /s, '')
    return [
      error(
        'image-name',
        `"${name}" is no image name: ${why}`,
        image.span,
        thrown.hint ?? 'write registry/repository:tag',
      ),
    ]
  }
}

function checkCopyFrom({ stages }: Kubefile): readonly Diagnostic[] {
  return stages.flatMap((stage, index) =>
    stage.instructions.flatMap(instruction => {
      const from = findFlag(instruction, 'from')?.value
      if (instruction.kind !== 'COPY' || from === undefined) return []
      if (from.text.includes('$')) {
        const hint = 'name the stage or image itself; FROM … AS NAME may use variables'
        return [error('copy-from', '--from does not take variables', from.span, hint)]
      }
      const name = from.text.toLowerCase()
      const isOwn = name === stageName(stage) || name === String(index)
      const isLater = /^\d+$/.test(name) && Number(name) > index
      if (!isOwn && !isLater) return []
      return [
        error('copy-from', `--from=${from.text} is no earlier stage`, from.span, 'copy from a stage above this one'),
      ]
    }),
  )
}

const installVersion = /\bINSTALL_K3S_VERSION=["']?(v?\d+\.\d+\.\d+[\w.+-]*)/g

function checkVersions(instruction: Instruction): readonly Diagnostic[] {
  if (instruction.kind === 'BASE') return checkBase(instruction)
  if (instruction.kind !== 'RUN' || instruction.command.form !== 'shell') return []
  const { script } = instruction.command
  return Array.from(script.text.matchAll(installVersion)).flatMap(({ 0: whole, 1: version = '', index }) => {
    const why = explainK3sVersion(version)
    const start = index + whole.length - version.length
    const span = spanInWord(script, start, index + whole.length)
    return why === undefined ? [] : [error('k3s-version', why.message, span, why.hint)]
  })
}

function checkBase({ template, version }: Base): readonly Diagnostic[] {
  const { text, span } = template
  if (version === undefined) {
    if (text === rootfsTemplate || isTemplatePath(text) || text.includes('$')) return []
    const message = `BASE ${text} has no version: the stable one is resolved once and kept in the lock`
    const hint = `write BASE ${text}@stable, or a version`
    return [{ severity: 'warning', rule: 'base-without-version', message, span, hint }]
  }
  const why = text === 'k3s' && !version.text.includes('$') ? explainK3sVersion(version.text) : undefined
  return why === undefined ? [] : [error('k3s-version', why.message, version.span, why.hint)]
}

/** An application's sources name how they are had. */
function checkSources(instruction: Instruction): readonly Diagnostic[] {
  if (instruction.kind !== 'APP' && instruction.kind !== 'CNI' && instruction.kind !== 'CSI') return []
  return instruction.sources
    .filter(({ text }) => !/^["']?(?:local|https?):\/\/|\$/.test(text))
    .map(({ text, span }) =>
      error('app-source', `"${text}" is no source`, span, `write local://${text} for a file of the context`),
    )
}

/** CMD, CMDS and LAUNCH of one stage: sealer's rules for its words, and one CMD where a cluster image is certain. */
function checkCommands({ instructions }: Stage): readonly Diagnostic[] {
  const isCluster = instructions.some(({ kind }) => kind === 'BASE')
  const last = instructions.at(-1)
  const seen = new Set<string>()
  return instructions.flatMap(instruction => {
    const { kind } = instruction
    if (kind !== 'CMD' && kind !== 'CMDS' && kind !== 'LAUNCH') return []
    const span = keywordSpan(instruction)
    const other = ['CMD', 'CMDS', 'LAUNCH'].find(word => word !== kind && seen.has(word))
    const isRepeated = seen.has(kind)
    seen.add(kind)
    if (kind === 'CMD') {
      if (other !== undefined) return [exclusive(kind, other, span)]
      return isRepeated ? [repeatedCmd(span, isCluster)] : []
    }
    if (isRepeated) return [error('launch-once', `${kind} may stand once`, span, `put everything into one ${kind}`)]
    if (other !== undefined) return [exclusive(kind, other, span)]
    return instruction === last
      ? []
      : [error('launch-last', `${kind} is not the last instruction`, span, `move ${kind} to the end`)]
  })
}

function exclusive(kind: string, other: string, span: Span): Diagnostic {
  return error('launch-exclusive', `${kind} and ${other} exclude each other`, span, `keep either ${other} or ${kind}`)
}

function repeatedCmd(span: Span, isCluster: boolean): Diagnostic {
  if (isCluster) {
    return error('repeated-cmd', 'a cluster image has one CMD', span, 'write the commands into one CMDS ["…", "…"]')
  }
  const message = 'only the last CMD counts'
  return { severity: 'warning', rule: 'repeated-cmd', message, span, hint: 'delete the others, or write one CMDS' }
}
