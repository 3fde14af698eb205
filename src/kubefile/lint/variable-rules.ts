import { suggest } from '../../core/suggest.ts'
import { type Instruction, isHeredoc, type Kubefile, type Stage, type Word } from '../ast.ts'
import { ExpansionError, expandWord } from '../expand.ts'
import { instructionSpec } from '../instructions.ts'
import { isProxyArg, predefinedNames } from '../scope.ts'
import { type Finding, type LintRule, type LintSubject, placedInstructions, stageName } from './rule.ts'

export const variableRules: readonly LintRule[] = [
  {
    id: 'undefined-arg-in-from',
    severity: 'warning',
    summary: 'FROM uses a variable that no ARG above the first FROM declares',
    check: checkFrom,
  },
  {
    id: 'undefined-variable',
    severity: 'warning',
    summary: 'an instruction uses a variable that nothing above it sets',
    check: checkStages,
  },
  {
    id: 'unused-arg',
    severity: 'warning',
    summary: 'nothing uses this ARG',
    check: checkUnused,
  },
  {
    id: 'secret-in-variable',
    severity: 'warning',
    summary: 'an ARG, ENV or APPENV looks like a secret, and would be readable in the image',
    check: ({ kubefile }) => [
      ...kubefile.globalArgs.flatMap(checkSecret),
      ...placedInstructions(kubefile).flatMap(({ instruction }) => checkSecret(instruction)),
    ],
  },
]

/** The words in which variables are expanded. */
function expandedWords(instruction: Instruction): readonly Word[] {
  if (instructionSpec(instruction.kind)?.expands !== true || instruction.kind === 'ONBUILD') return []
  const words: Word[] = []
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visit)
    else if (isWord(value)) words.push(value)
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(visit)
  }
  const { comments: _comments, original: _original, span: _span, ...parts } = instruction
  if (instruction.kind === 'COPY' || instruction.kind === 'ADD') {
    for (const source of instruction.sources)
      if (isHeredoc(source) && source.expand) words.push({ text: source.body, span: source.bodySpan })
    visit([instruction.flags, instruction.sources.filter(source => !isHeredoc(source)), instruction.target])
  } else visit(parts)
  return words
}

function isWord(value: unknown): value is Word {
  return typeof value === 'object' && value !== null && 'text' in value && 'span' in value && !('body' in value)
}

/** The variables that a word names, with or without a default. */
function namesIn({ text }: Word, escape: Kubefile['escape']): readonly string[] {
  const names = new Set<string>()
  tryExpand(text, escape, name => {
    names.add(name)
    return 'x'
  })
  return [...names]
}

/** Those that are empty because nothing sets them; one with a default or a message is no mistake. */
function unsetIn({ text }: Word, escape: Kubefile['escape'], isSet: (name: string) => boolean): readonly string[] {
  const unset = tryExpand(text, escape, name => (isSet(name) ? 'x' : undefined))
  return unset.filter(name => /^[A-Za-z_]\w*$/.test(name))
}

function tryExpand(
  text: string,
  escape: Kubefile['escape'],
  lookup: (name: string) => string | undefined,
): readonly string[] {
  try {
    return expandWord(text, lookup, { escape }).unset
  } catch (error) {
    if (error instanceof ExpansionError) return []
    throw error
  }
}

function checkFrom({ kubefile }: LintSubject): readonly Finding[] {
  const known = new Set([...predefinedNames, ...globalNames(kubefile)])
  return kubefile.stages.flatMap(({ from }) => {
    if (from === undefined) return []
    return expandedWords(from).flatMap(word =>
      unsetIn(word, kubefile.escape, name => known.has(name)).map(name => {
        const near = suggest(name, known)
        const hint = near === undefined ? `write ARG ${name}=… above the first FROM` : `did you mean ${near}?`
        return { message: `FROM knows no variable "${name}"`, span: word.span, hint }
      }),
    )
  })
}

function globalNames({ globalArgs }: Kubefile): readonly string[] {
  return globalArgs.flatMap(({ pairs }) => pairs.map(({ key }) => key.text))
}

/** What is set at the end of a stage; undefined where a base image may have set anything. */
type Known = { readonly names: ReadonlySet<string>; readonly isWhole: boolean }

function checkStages({ kubefile }: LintSubject): readonly Finding[] {
  const globals = new Set(globalNames(kubefile))
  const ends = new Map<string, Known>()
  return kubefile.stages.flatMap(stage => {
    const start = startOf(stage, ends)
    const names = new Set(start.names)
    const found = stage.instructions.flatMap(instruction => {
      const findings = expandedWords(instruction).flatMap(word =>
        unsetIn(word, kubefile.escape, name => names.has(name))
          .filter(name => start.isWhole || globals.has(name))
          .map(name => unsetFinding(name, word, globals, names)),
      )
      for (const name of setBy(instruction)) names.add(name)
      return findings
    })
    const name = stageName(stage)
    if (name !== undefined) ends.set(name, { names, isWhole: start.isWhole })
    return found
  })
}

function startOf({ from }: Stage, ends: ReadonlyMap<string, Known>): Known {
  const image = from?.image.text.toLowerCase() ?? 'scratch'
  return ends.get(image) ?? { names: new Set([...predefinedNames, 'PATH']), isWhole: image === 'scratch' }
}

function unsetFinding(name: string, word: Word, globals: ReadonlySet<string>, names: ReadonlySet<string>): Finding {
  const { span } = word
  if (globals.has(name)) {
    const hint = `repeat ARG ${name} below FROM: what stands above it is for FROM alone`
    return { message: `"${name}" is not known in this stage, and empty here`, span, hint }
  }
  const near = suggest(name, names)
  const hint = near === undefined ? `write ARG ${name}=… above, or \${${name}:-default}` : `did you mean ${near}?`
  return { message: `nothing sets "${name}", so it is empty here`, span, hint }
}

function setBy(instruction: Instruction): readonly string[] {
  if (instruction.kind !== 'ARG' && instruction.kind !== 'ENV') return []
  return instruction.pairs.map(({ key }) => key.text)
}

function checkUnused({ kubefile }: LintSubject): readonly Finding[] {
  const { stages, globalArgs, escape } = kubefile
  const inherited = new Set(stages.flatMap(({ instructions }) => instructions.flatMap(inheritedNames)))
  // Where a stage uses one that only FROM knows, the mistake is there.
  const everywhere = [
    ...globalArgs,
    ...stages.flatMap(({ from, instructions }) => [...(from ? [from] : []), ...instructions]),
  ]
  const named = new Set(everywhere.flatMap(one => expandedWords(one).flatMap(word => namesIn(word, escape))))
  const unusedGlobals = globalArgs.flatMap(arg =>
    arg.pairs.filter(({ key }) => !inherited.has(key.text) && !named.has(key.text)),
  )
  const unusedInStages = stages.flatMap((stage, index) =>
    stage.instructions.flatMap((instruction, at) =>
      instruction.kind === 'ARG'
        ? instruction.pairs.filter(({ key }) => !isUsed(key.text, kubefile, index, at + 1))
        : [],
    ),
  )
  return [...unusedGlobals, ...unusedInStages]
    .filter(({ key }) => !isProxyArg(key.text) && key.text !== 'SOURCE_DATE_EPOCH')
    .map(({ key }) => ({ message: `nothing uses ARG ${key.text}`, span: key.span, hint: 'delete it' }))
}

/** ARGs without a value take that of the one above FROM. */
function inheritedNames(instruction: Instruction): readonly string[] {
  if (instruction.kind !== 'ARG') return []
  return instruction.pairs.filter(({ value }) => value === undefined).map(({ key }) => key.text)
}

/** From that instruction on, in the stage and in those that begin with it. RUN sees every ARG. */
function isUsed(name: string, kubefile: Kubefile, index: number, from: number): boolean {
  const { stages, escape } = kubefile
  const stage = stages[index]!
  const isHere = stage.instructions
    .slice(from)
    .some(
      instruction =>
        instruction.kind === 'RUN' || expandedWords(instruction).some(word => namesIn(word, escape).includes(name)),
    )
  if (isHere) return true
  const own = stageName(stage)
  return stages.some(
    (later, number) =>
      number > index &&
      own !== undefined &&
      later.from?.image.text.toLowerCase() === own &&
      isUsed(name, kubefile, number, 0),
  )
}

const secretWords = new Set(
  'apikey auth credential credentials key password passwd pwd pword secret token privatekey'.split(' '),
)
const publicWords = new Set(['public', 'pub', 'file', 'path', 'dir', 'name', 'id', 'url', 'type', 'size'])

function checkSecret(instruction: Instruction): readonly Finding[] {
  const { kind } = instruction
  if (kind !== 'ARG' && kind !== 'ENV' && kind !== 'APPENV') return []
  return instruction.pairs
    .filter(({ key }) => isSecretName(key.text))
    .map(({ key }) => ({
      message: `"${key.text}" looks like a secret, and ${kind === 'ARG' ? 'the Kubefile or a layer may show it' : 'the image shows its value to everybody'}`,
      span: key.span,
      hint:
        kind === 'ARG'
          ? 'give it to the command alone: RUN --mount=type=secret,id=… and --secret'
          : 'bring it to the hosts at deploy time instead',
    }))
}

function isSecretName(name: string): boolean {
  const words = name
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
  return words.some(word => secretWords.has(word)) && !words.some(word => publicWords.has(word))
}
