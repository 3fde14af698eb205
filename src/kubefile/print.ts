import {
  type ExecForm,
  type Flag,
  type Heredoc,
  type HeredocForm,
  type Instruction,
  type Kubefile,
  type ListForm,
  type Pair,
  type ShellForm,
  type Word,
  isHeredoc,
} from './ast.ts'

/**
 * The Kubefile in one layout: an instruction a line, blanks single, comments above their instruction, a blank line
 * between stages. Parsing it gives the same AST but for spans, `source` and `original`.
 */
export function formatKubefile(kubefile: Kubefile): string {
  const { directives, globalArgs, stages, trailingComments } = kubefile
  const header = directives.map(({ name, value }) => `# ${name}=${value}\n`).join('')
  const parts = [
    globalArgs.map(formatInstruction).join(''),
    ...stages.map(({ from, instructions }) =>
      [...(from === undefined ? [] : [from]), ...instructions].map(formatInstruction).join(''),
    ),
    formatComments(trailingComments),
  ].filter(part => part !== '')
  // Without the blank line, a comment at the top could be read as a directive.
  return [header, ...parts].join('\n').replace(/^\n(?!#\s*\w+\s*=)/, '')
}

/** One instruction with its comments and heredoc bodies, line feed included. */
export function formatInstruction(instruction: Instruction): string {
  const { line, heredocs } = formatLine(instruction)
  const bodies = heredocs.map(({ body, name }) => `${body}${name}\n`).join('')
  return `${formatComments(instruction.comments)}${line}\n${bodies}`
}

function formatComments(comments: readonly string[]): string {
  return comments.map(comment => (comment === '' ? '#\n' : `# ${comment}\n`)).join('')
}

/** An instruction's line, and the heredocs that must follow it. */
interface Printed {
  readonly line: string
  readonly heredocs: readonly Heredoc[]
}

function formatLine(instruction: Instruction): Printed {
  const { text, heredocs = [] } = formatArguments(instruction)
  // Arguments that look like a flag are told apart by "--".
  const parts = [instruction.kind, ...instruction.flags.map(formatFlag), ...(text.startsWith('--') ? ['--'] : []), text]
  return { line: parts.join(' '), heredocs }
}

function formatFlag({ name, value }: Flag): string {
  return value === undefined ? `--${name}` : `--${name}=${value.text}`
}

interface PrintedArguments {
  readonly text: string
  readonly heredocs?: readonly Heredoc[]
}

function formatArguments(instruction: Instruction): PrintedArguments {
  switch (instruction.kind) {
    case 'FROM': {
      const { image, as } = instruction
      return { text: as === undefined ? image.text : `${image.text} AS ${as.text}` }
    }
    case 'BASE': {
      const { template, version, cache } = instruction
      const name = version === undefined ? template.text : `${template.text}@${version.text}`
      return { text: cache ? `${name} cache` : name }
    }
    case 'COPY':
    case 'ADD': {
      const { sources, target, form } = instruction
      return { text: formatWords([...sources, target], form), heredocs: sources.filter(isHeredoc) }
    }
    case 'RUN':
    case 'CMD':
    case 'ENTRYPOINT':
      return formatCommand(instruction.command)
    case 'HEALTHCHECK': {
      const { command } = instruction
      return { text: command === undefined ? 'NONE' : `CMD ${formatCommand(command).text}` }
    }
    case 'SHELL':
      return { text: formatWords(instruction.argv, 'json') }
    case 'ARG':
      return { text: formatPairs(instruction.pairs) }
    case 'ENV':
    case 'LABEL': {
      const [first] = instruction.pairs
      const isLegacy = instruction.legacy && first !== undefined
      return { text: isLegacy ? `${first.key.text} ${first.value.text}` : formatPairs(instruction.pairs) }
    }
    case 'WORKDIR':
    case 'USER':
    case 'STOPSIGNAL':
    case 'MAINTAINER':
    case 'KUBEVERSION':
      return { text: instruction.value.text }
    case 'EXPOSE':
    case 'VOLUME':
    case 'LAUNCH':
    case 'CMDS':
      return { text: formatWords(instruction.items, instruction.form) }
    case 'APP':
    case 'CNI':
    case 'CSI':
      return { text: formatWords([instruction.name, ...instruction.sources], instruction.form) }
    case 'APPENV':
      return { text: `${instruction.app.text} ${formatPairs(instruction.pairs)}` }
    case 'APPCMDS':
      return { text: `${instruction.app.text} ${formatWords(instruction.argv, 'json')}` }
    case 'ONBUILD': {
      const { line, heredocs } = formatLine(instruction.instruction)
      return { text: line, heredocs }
    }
  }
}

function formatCommand(command: ShellForm | ExecForm | HeredocForm): PrintedArguments {
  switch (command.form) {
    case 'exec':
      return { text: formatWords(command.argv, 'json') }
    case 'shell':
      return { text: command.script.text, heredocs: command.heredocs }
    case 'heredoc':
      return { text: command.heredoc.text, heredocs: [command.heredoc] }
  }
}

function formatWords(words: readonly (Word | Heredoc)[], form: ListForm): string {
  if (form === 'words') return words.map(({ text }) => text).join(' ')
  return `[${words.map(({ text }) => JSON.stringify(text)).join(', ')}]`
}

function formatPairs(pairs: readonly Pair[]): string {
  return pairs.map(({ key, value }) => (value === undefined ? key.text : `${key.text}=${value.text}`)).join(' ')
}
