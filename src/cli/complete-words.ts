import type { Command, Option } from 'commander'

/** What may stand where the cursor is, and whether names of stored images may. */
export interface Completion {
  readonly words: readonly string[]
  readonly images: boolean
}

/** Arguments that are image names. */
const imageArguments: ReadonlySet<string> = new Set([
  'reference',
  'references',
  'source',
  'target',
  'from',
  'to',
  'image',
])

/** From the words behind `cloudimg`, of which the last is being typed. What does not begin as typed is left out. */
export function completeWords(program: Command, words: readonly string[]): Completion {
  const typed = words.at(-1) ?? ''
  const { words: found, images } = candidates(program, words.slice(0, -1), typed)
  return { words: found.filter(word => word.startsWith(typed)), images }
}

function candidates(program: Command, before: readonly string[], typed: string): Completion {
  let command = program
  let position = 0
  for (let i = 0; i < before.length; i++) {
    const word = before[i]!
    const option = optionOf(program, command, word)
    if (option !== undefined) {
      const takesNext = (option.required || option.optional) && !word.includes('=')
      if (takesNext && i === before.length - 1) return { words: option.argChoices ?? [], images: false }
      if (takesNext) i++
    } else if (word !== '--' && command === program)
      command = program.commands.find(one => one.name() === word) ?? program
    else if (word !== '--') position++
  }
  if (typed.startsWith('-')) return { words: flags(program, command), images: false }
  if (command === program) return { words: shownCommands(program), images: false }
  const argument = command.registeredArguments[position] ?? command.registeredArguments.findLast(last => last.variadic)
  return { words: argument?.argChoices ?? [], images: argument !== undefined && imageArguments.has(argument.name()) }
}

function optionOf(program: Command, command: Command, word: string): Option | undefined {
  if (!word.startsWith('-')) return undefined
  const flag = word.split('=')[0]
  return [...command.options, ...program.options].find(({ long, short }) => long === flag || short === flag)
}

function flags(program: Command, command: Command): readonly string[] {
  const own = [...command.options, ...(command === program ? [] : program.options)]
  return [...new Set([...own.flatMap(({ long, hidden }) => (hidden || long === undefined ? [] : [long])), '--help'])]
}

function shownCommands(program: Command): readonly string[] {
  return program
    .createHelp()
    .visibleCommands(program)
    .map(command => command.name())
}
