import type { Diagnostic } from '../core/diagnostic.ts'
import { suggest } from '../core/suggest.ts'
import { type Arguments, type Reporter, checkExpansion, report, wrongArguments } from './arguments.ts'
import type { Escape, Flag, Instruction } from './ast.ts'
import { type FlagSpec, type InstructionSpec, instructionSpec, instructions } from './instructions.ts'
import type { LogicalLine } from './lex.ts'
import { spanAt, spanOf, wordOf } from './logical-text.ts'
import { argumentParsers } from './parse-arguments.ts'
import { type Head, type Range, splitHead } from './words.ts'

/** Which instruction a line is meant to be, also where its arguments are wrong. */
export interface ParsedLine {
  readonly spec: InstructionSpec | undefined
  readonly instruction: Instruction | undefined
}

/** What is wrong is pushed to `diagnostics`; the instruction is undefined then. */
export function parseInstruction(line: LogicalLine, escape: Escape, diagnostics: Diagnostic[]): ParsedLine {
  return parseFrom(line, 0, escape, diagnostics)
}

/** The instruction that begins at `from`: the line's own, or the one behind ONBUILD. */
function parseFrom(line: LogicalLine, from: number, escape: Escape, diagnostics: Diagnostic[]): ParsedLine {
  const { text, heredocs } = line
  const head = splitHead(text.text, from, escape)
  const reporter = { line: text, diagnostics }
  const spec = instructionSpec(text.text.slice(head.keyword.start, head.keyword.end))
  if (spec === undefined) return { spec, instruction: unknownInstruction(reporter, head.keyword, escape) }
  const args: Arguments = {
    spec,
    line: text,
    keyword: head.keyword,
    start: head.rest,
    escape,
    heredocs,
    diagnostics,
    common: {
      span: spanAt(text.lines, text.offsets[head.keyword.start]!, line.end),
      flags: [],
      comments: from === 0 ? line.comments : [],
      original: text.text.slice(head.keyword.start),
    },
  }
  const flags = parseFlags(args, head)
  return { spec, instruction: parseArguments(line, { ...args, common: { ...args.common, flags } }) }
}

function parseArguments(line: LogicalLine, args: Arguments): Instruction | undefined {
  if (args.spec.kind !== 'ONBUILD') return argumentParsers[args.spec.kind](args)
  if (args.start >= args.line.text.length) return wrongArguments(args, 'ONBUILD has no instruction')
  const { keyword } = splitHead(args.line.text, args.start, args.escape)
  const kind = args.line.text.slice(keyword.start, keyword.end).toUpperCase()
  if (forbiddenTriggers.has(kind)) {
    const hint = kind === 'ONBUILD' ? 'write the inner instruction alone' : `move ${kind} to a line of its own`
    return report(args, 'onbuild', `ONBUILD cannot defer ${kind}`, keyword, hint)
  }
  const { instruction } = parseFrom(line, args.start, args.escape, args.diagnostics)
  return instruction === undefined ? undefined : { kind: 'ONBUILD', ...args.common, instruction }
}

const forbiddenTriggers: ReadonlySet<string> = new Set(['ONBUILD', 'FROM', 'MAINTAINER'])

function unknownInstruction(to: Reporter, keyword: Range, escape: Escape): undefined {
  const word = to.line.text.slice(keyword.start, keyword.end)
  const near = suggest(word, instructions.keys())
  const hint =
    near === undefined ? `end the line above with "${escape}" if this line continues it` : `did you mean ${near}?`
  return report(to, 'unknown-instruction', `unknown instruction "${word}"`, keyword, hint)
}

function parseFlags(args: Arguments, head: Head): readonly Flag[] {
  const flags: Flag[] = []
  for (const range of head.flags) {
    const flag = parseFlag(args, range)
    const spec = args.spec.flags.find(known => known.name === flag.name)
    if (spec === undefined) unknownFlag(args, flag, range)
    else if (checkFlag(args, flag, spec, range)) {
      if (spec.isRepeatable !== true && flags.some(other => other.name === flag.name)) {
        report(args, 'flag', `flag --${flag.name} twice`, range, `keep one --${flag.name}`)
      }
      flags.push(flag)
    }
  }
  return flags
}

function parseFlag({ line }: Arguments, { start, end }: Range): Flag {
  const equals = line.text.slice(start, end).indexOf('=')
  const nameEnd = equals < 0 ? end : start + equals
  return {
    name: line.text.slice(start + 2, nameEnd),
    value: equals < 0 ? undefined : wordOf(line, nameEnd + 1, end),
    span: spanOf(line, start, end),
  }
}

function unknownFlag(args: Arguments, flag: Flag, range: Range): void {
  const { kind, flags } = args.spec
  const near = suggest(
    flag.name,
    flags.map(known => known.name),
  )
  const known = flags.map(({ name }) => `--${name}`).join(', ')
  const hint =
    near !== undefined ? `did you mean --${near}?` : known === '' ? `${kind} has no flags` : `${kind} has ${known}`
  report(args, 'unknown-flag', `${kind} has no flag --${flag.name}`, range, hint)
}

/** Whether the value is one that the flag takes; values with variables are checked when they are known. */
function checkFlag(args: Arguments, flag: Flag, spec: FlagSpec, range: Range): boolean {
  const { value } = flag
  if (spec.value === 'text' && value === undefined) {
    report(args, 'flag', `flag --${flag.name} has no value`, range, `write --${flag.name}=VALUE`)
    return false
  }
  if (value === undefined) return true
  const choices = spec.value === 'boolean' ? ['true', 'false'] : spec.choices
  if (choices !== undefined && !value.text.includes('$') && !choices.includes(value.text.toLowerCase())) {
    const hint = `write ${choices.map(choice => `--${flag.name}=${choice}`).join(' or ')}`
    report(args, 'flag', `"${value.text}" is no value of --${flag.name}`, range, hint)
    return false
  }
  if (args.spec.expands) checkExpansion(args, value)
  return true
}
