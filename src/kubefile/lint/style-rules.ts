import type { Edit } from '../../core/diagnostic.ts'
import { type Env, type Instruction, keywordSpan, type Kubefile } from '../ast.ts'
import { type Finding, type LintRule, type LintSubject, placedInstructions } from './rule.ts'

export const styleRules: readonly LintRule[] = [
  {
    id: 'json-form',
    severity: 'warning',
    summary: 'what looks like a JSON array is none, and is taken as plain text',
    guard: true,
  },
  {
    id: 'blank-continuation-line',
    severity: 'warning',
    summary: 'a blank line stands inside a continued instruction',
    fixes: true,
    guard: true,
  },
  {
    id: 'legacy-key-value',
    severity: 'warning',
    summary: 'ENV or LABEL without "="',
    fixes: true,
    check: ({ kubefile }) =>
      placedInstructions(kubefile).flatMap(({ instruction }) =>
        (instruction.kind === 'ENV' || instruction.kind === 'LABEL') && instruction.legacy
          ? [legacyFinding(instruction, kubefile)]
          : [],
      ),
  },
  {
    id: 'keyword-case',
    severity: 'warning',
    summary: 'some keywords are written in capitals and some are not',
    fixes: true,
    check: checkCase,
  },
]

function legacyFinding(instruction: Env, { source }: Kubefile): Finding {
  const [pair] = instruction.pairs
  const { key, value } = pair!
  const name = key.text
  const gap = source.slice(key.span.end.offset, value.span.start.offset)
  const text = equalsValue(value.text)
  const isExact = value.span.end.offset - value.span.start.offset === value.text.length && /^[ \t]+$/.test(gap)
  const fix: readonly Edit[] | undefined =
    text !== undefined && isExact && /^[\w.-]+$/.test(name)
      ? [{ start: key.span.end.offset, end: value.span.end.offset, text: `=${text}` }]
      : undefined
  return {
    message: `${instruction.kind} ${name} takes the rest of the line as its value`,
    span: keywordSpan(instruction),
    hint: `write ${instruction.kind} ${name}=${text ?? '"…"'}`,
    fix,
  }
}

/** The value as it is written behind "="; undefined where quotes or escapes make that a matter of taste. */
function equalsValue(text: string): string | undefined {
  if (/["'\\`]/.test(text)) return undefined
  return /\s/.test(text) ? `"${text}"` : text
}

function checkCase({ kubefile }: LintSubject): readonly Finding[] {
  const written = allInstructions(kubefile).map(instruction => {
    const { offset } = instruction.span.start
    return { instruction, text: kubefile.source.slice(offset, offset + instruction.kind.length) }
  })
  const isUpper = ({ text, instruction }: (typeof written)[number]): boolean => text === instruction.kind
  if (!written.some(isUpper)) return []
  return written
    .filter(one => !isUpper(one) && one.text.toUpperCase() === one.instruction.kind)
    .map(({ instruction, text }) => {
      const { offset } = instruction.span.start
      return {
        message: `"${text}" is not written as the other keywords are`,
        span: keywordSpan(instruction),
        hint: `write ${instruction.kind}`,
        fix: [{ start: offset, end: offset + text.length, text: instruction.kind }],
      }
    })
}

function allInstructions({ globalArgs, stages }: Kubefile): readonly Instruction[] {
  return [
    ...globalArgs,
    ...stages.flatMap(({ from, instructions }) => [...(from === undefined ? [] : [from]), ...instructions]),
  ]
}
