import type { Span } from '../../core/diagnostic.ts'
import { type Instruction, type Kubefile, type Stage, findFlag, keywordSpan } from '../ast.ts'
import { unquoteWord } from '../words.ts'
import { type Finding, type LintRule, type LintSubject, stageName } from './rule.ts'

const namePattern = /^[a-z][a-z0-9_.-]*$/

export const stageRules: readonly LintRule[] = [
  {
    id: 'stage-name',
    severity: 'error',
    summary: 'a stage has a name that no stage can have',
    guard: true,
    check: ({ kubefile }) => namedStages(kubefile).flatMap(({ name, span }) => checkName(name, span)),
  },
  {
    id: 'duplicate-stage-name',
    severity: 'error',
    summary: 'two stages have the same name',
    guard: true,
    check: ({ kubefile }) =>
      namedStages(kubefile)
        .filter(({ name }, index, all) => all.findIndex(other => other.name === name) < index)
        .map(({ name, span }) => ({
          message: `another stage is called "${name}"`,
          span,
          hint: 'choose another name',
        })),
  },
  {
    id: 'copy-from',
    severity: 'error',
    summary: 'COPY --from names a variable, its own stage or a later one',
    guard: true,
    check: ({ kubefile }) =>
      kubefile.stages.flatMap((stage, index) =>
        stage.instructions.flatMap(instruction => checkCopyFrom(stage, index, instruction)),
      ),
  },
  {
    id: 'unused-stage',
    severity: 'warning',
    summary: 'no instruction of the built stage needs this stage',
    check: checkUnused,
  },
  {
    id: 'repeated-instruction',
    severity: 'warning',
    summary: 'an instruction of which only the last counts stands several times in a stage',
    check: ({ kubefile }) => kubefile.stages.flatMap(checkRepeated),
  },
  {
    id: 'relative-workdir',
    severity: 'warning',
    summary: 'where WORKDIR leads depends on the base image',
    check: ({ kubefile }) => kubefile.stages.flatMap(checkWorkdir),
  },
]

function namedStages({ stages }: Kubefile): readonly { readonly name: string; readonly span: Span }[] {
  return stages.flatMap(stage => {
    const name = stageName(stage)
    return name === undefined ? [] : [{ name, span: stage.from!.as!.span }]
  })
}

function checkName(name: string, span: Span): readonly Finding[] {
  if (!namePattern.test(name)) {
    const hint = 'begin with a letter; go on with letters, digits, "-", "_" and "."'
    return [{ message: `"${name}" is no name for a stage`, span, hint }]
  }
  return name === 'scratch' ? [{ message: '"scratch" is the empty image', span, hint: 'choose another name' }] : []
}

function checkCopyFrom(stage: Stage, index: number, instruction: Instruction): readonly Finding[] {
  const from = findFlag(instruction, 'from')?.value
  if (instruction.kind !== 'COPY' || from === undefined) return []
  const { span } = from
  if (from.text.includes('$')) {
    const hint = 'name the stage or image itself; FROM … AS NAME may use variables'
    return [{ message: '--from does not take variables', span, hint }]
  }
  const name = from.text.toLowerCase()
  const isOwn = name === stageName(stage) || name === String(index)
  const isLater = /^\d+$/.test(name) && Number(name) > index
  if (!isOwn && !isLater) return []
  return [{ message: `--from=${from.text} is no earlier stage`, span, hint: 'copy from a stage above this one' }]
}

function checkUnused({ kubefile, target }: LintSubject): readonly Finding[] {
  const { stages } = kubefile
  const used = new Set<number>()
  const last = target === undefined ? stages.length - 1 : findStage(stages, target, stages.length)
  const queue = last === undefined ? [] : [last]
  for (let index = queue.pop(); index !== undefined; index = queue.pop()) {
    if (used.has(index)) continue
    used.add(index)
    queue.push(...neededStages(kubefile, index))
  }
  return stages.flatMap((stage, index) => {
    if (used.has(index) || stage.from === undefined || last === undefined) return []
    const name = stageName(stage)
    if (name !== undefined && stages.filter(other => stageName(other) === name).length > 1) return []
    return [
      {
        message: name === undefined ? 'no stage needs this one' : `no stage needs "${name}"`,
        span: keywordSpan(stage.from),
        hint: name === undefined ? 'delete it' : `delete it, or build it with --target ${name}`,
      },
    ]
  })
}

function neededStages({ stages, escape }: Kubefile, index: number): readonly number[] {
  const { from, instructions } = stages[index]!
  const names = [
    ...(from === undefined ? [] : [unquoteWord(from.image.text, escape)]),
    ...instructions.flatMap(instruction =>
      instruction.flags.flatMap(({ name, value }) => {
        if (name === 'from') return [unquoteWord(value?.text ?? '', escape)]
        return name === 'mount' ? (/(?:^|,)from=([^,]+)/.exec(value?.text ?? '')?.slice(1) ?? []) : []
      }),
    ),
  ]
  return names.flatMap(name => findStage(stages, name, index) ?? [])
}

function findStage(stages: readonly Stage[], name: string, below: number): number | undefined {
  const named = stages.findIndex((stage, index) => index < below && stageName(stage) === name.toLowerCase())
  if (named >= 0) return named
  return /^\d+$/.test(name) && Number(name) < below ? Number(name) : undefined
}

function checkRepeated({ instructions }: Stage): readonly Finding[] {
  return (['ENTRYPOINT', 'HEALTHCHECK'] as const).flatMap(kind =>
    instructions
      .filter(instruction => instruction.kind === kind)
      .slice(0, -1)
      .map(instruction => ({
        message: `only the last ${kind} counts`,
        span: keywordSpan(instruction),
        hint: 'delete this one',
      })),
  )
}

function checkWorkdir({ from, instructions }: Stage): readonly Finding[] {
  if (from === undefined || from.image.text === 'scratch') return []
  const first = instructions.find(({ kind }) => kind === 'WORKDIR')
  if (first?.kind !== 'WORKDIR' || /^["']?[/$]/.test(first.value.text)) return []
  const message = `where "${first.value.text}" leads depends on the base image's working directory`
  return [{ message, span: first.value.span, hint: `write it from the root: WORKDIR /${first.value.text}` }]
}
