import type { Span } from '../../core/diagnostic.ts'
import { findFlag, type Instruction, keywordSpan, type Stage } from '../ast.ts'
import { type Finding, type LintRule, type LintSubject, placedInstructions, replaceWord } from './rule.ts'

export const commandRules: readonly LintRule[] = [
  {
    id: 'launch-once',
    severity: 'error',
    summary: 'LAUNCH or CMDS stands several times',
    guard: true,
    check: commandCheck('launch-once'),
  },
  {
    id: 'launch-last',
    severity: 'error',
    summary: 'LAUNCH or CMDS is not the last instruction',
    guard: true,
    check: commandCheck('launch-last'),
  },
  {
    id: 'launch-exclusive',
    severity: 'error',
    summary: 'two of CMD, CMDS and LAUNCH stand in one stage',
    guard: true,
    check: commandCheck('launch-exclusive'),
  },
  {
    id: 'repeated-cmd',
    severity: 'warning',
    summary: 'a second CMD: of a cluster image an error, else only the last counts',
    guard: true,
    check: commandCheck('repeated-cmd'),
  },
  {
    id: 'app-source',
    severity: 'error',
    summary: 'a source of APP, CNI or CSI does not say how it is had',
    fixes: true,
    guard: true,
    check: ({ kubefile }) => placedInstructions(kubefile).flatMap(({ instruction }) => checkSources(instruction)),
  },
  {
    id: 'exec-form',
    severity: 'warning',
    summary: 'ENTRYPOINT, or CMD beside it or on an image, runs through a shell',
    check: ({ kubefile }) => kubefile.stages.flatMap(checkExecForm),
  },
  {
    id: 'run-unseals',
    severity: 'warning',
    summary: 'RUN has a network, so that what it fetches is not pinned',
    check: checkNetwork,
  },
  {
    id: 'deprecated-maintainer',
    severity: 'warning',
    summary: 'MAINTAINER is deprecated',
    check: checkMaintainer,
  },
]

type CommandRule = 'launch-once' | 'launch-last' | 'launch-exclusive' | 'repeated-cmd'
type CommandFinding = Finding & { readonly rule: CommandRule }

function commandCheck(rule: CommandRule): (subject: LintSubject) => readonly Finding[] {
  return ({ kubefile }) =>
    kubefile.stages.flatMap(stage => checkCommands(stage).flatMap(found => (found.rule === rule ? [found] : [])))
}

/** CMD, CMDS and LAUNCH of one stage: sealer's rules for its words, and one CMD where a cluster image is certain. */
function checkCommands({ instructions }: Stage): readonly CommandFinding[] {
  const isCluster = instructions.some(({ kind }) => kind === 'BASE')
  const last = instructions.at(-1)
  const seen = new Set<string>()
  return instructions.flatMap((instruction): readonly CommandFinding[] => {
    const { kind } = instruction
    if (kind !== 'CMD' && kind !== 'CMDS' && kind !== 'LAUNCH') return []
    const span = keywordSpan(instruction)
    const other = ['CMD', 'CMDS', 'LAUNCH'].find(word => word !== kind && seen.has(word))
    const isRepeated = seen.has(kind)
    seen.add(kind)
    if (isRepeated && kind !== 'CMD') {
      const message = `${kind} may stand once`
      return [{ rule: 'launch-once', message, span, hint: `put everything into one ${kind}` }]
    }
    if (other !== undefined) {
      const message = `${kind} and ${other} exclude each other`
      return [{ rule: 'launch-exclusive', message, span, hint: `keep either ${other} or ${kind}` }]
    }
    if (kind === 'CMD') return isRepeated ? [repeatedCmd(span, isCluster)] : []
    // Of several the first is told of as one too many, not as out of place.
    if (instruction === last || instructions.findLast(later => later.kind === kind) !== instruction) return []
    const message = `${kind} is not the last instruction`
    return [{ rule: 'launch-last', message, span, hint: `move ${kind} to the end` }]
  })
}

function repeatedCmd(span: Span, isCluster: boolean): CommandFinding {
  const rule = 'repeated-cmd'
  if (!isCluster)
    return { rule, message: 'only the last CMD counts', span, hint: 'delete the others, or write one CMDS' }
  const hint = 'write the commands into one CMDS ["…", "…"]'
  return { rule, severity: 'error', message: 'a cluster image has one CMD', span, hint }
}

/** An application's sources name how they are had. */
function checkSources(instruction: Instruction): readonly Finding[] {
  if (instruction.kind !== 'APP' && instruction.kind !== 'CNI' && instruction.kind !== 'CSI') return []
  return instruction.sources
    .filter(({ text }) => !/^["']?(?:local|https?):\/\/|\$/.test(text))
    .map(word => ({
      message: `"${word.text}" is no source`,
      span: word.span,
      hint: `write local://${word.text} for a file of the context`,
      fix:
        /^["']/.test(word.text) || instruction.form === 'json' ? undefined : replaceWord(word, `local://${word.text}`),
    }))
}

function checkExecForm({ from, instructions }: Stage): readonly Finding[] {
  if (instructions.some(({ kind }) => kind === 'SHELL')) return []
  const hasEntrypoint = instructions.some(({ kind }) => kind === 'ENTRYPOINT')
  const isImage = from !== undefined && from.image.text !== 'scratch'
  const isCluster = instructions.some(({ kind }) => kind === 'BASE')
  return instructions.flatMap(instruction => {
    if (instruction.kind !== 'ENTRYPOINT' && instruction.kind !== 'CMD') return []
    if (instruction.command.form !== 'shell' || isCluster) return []
    if (instruction.kind === 'CMD' && !hasEntrypoint && !isImage) return []
    return [
      {
        message: `${instruction.kind} runs through /bin/sh, which takes its signals and must be in the image`,
        span: keywordSpan(instruction),
        hint: `write a JSON array: ${instruction.kind} ["program", "argument"]`,
      },
    ]
  })
}

function checkNetwork({ kubefile }: LintSubject): readonly Finding[] {
  return placedInstructions(kubefile).flatMap(({ instruction }) => {
    const flag = instruction.kind === 'RUN' ? findFlag(instruction, 'network') : undefined
    if (flag === undefined || flag.value?.text.toLowerCase() === 'none') return []
    return [
      {
        message: `--network=${flag.value?.text ?? ''} unseals the image: what the command fetches is neither pinned nor checked`,
        span: flag.span,
        hint: 'ADD what it needs by URL, or use curl and wget of the toolbox, which need no network',
      },
    ]
  })
}

function checkMaintainer({ kubefile }: LintSubject): readonly Finding[] {
  return placedInstructions(kubefile).flatMap(({ instruction }) =>
    instruction.kind === 'MAINTAINER'
      ? [
          {
            message: 'MAINTAINER is deprecated',
            span: keywordSpan(instruction),
            hint: `write LABEL org.opencontainers.image.authors=${JSON.stringify(instruction.value.text)}`,
          },
        ]
      : [],
  )
}
