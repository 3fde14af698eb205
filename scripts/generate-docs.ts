// Writes the pages that are made from code: docs/cli.md from the commands, docs/kubefile.md from the instruction table.
// With --check it writes nothing and fails where a page is not what it would write.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { exitCodeMeanings } from '../src/cli/exit-code.ts'
import { createProgram } from '../src/cli/program.ts'
import { type FlagSpec, instructions, type InstructionSpec } from '../src/kubefile/instructions.ts'

const root = join(import.meta.dirname, '..')
// Fixed, so that the pages do not depend on anybody's window.
const helpWidth = 100
const generated = '<!-- Made by `npm run docs`; change the code instead. -->'

function commandPage(): string {
  const { stdout, stderr, stdin } = process
  const program = createProgram({ stdout, stderr, stdin, env: {} }, { code: 0 })
  program.configureOutput({ getOutHelpWidth: () => helpWidth })
  const sections = program.commands.flatMap(command => [command, ...command.commands]).map(commandSection)
  const codes = exitCodeMeanings.map(([code, meaning]) => `| ${code} | ${meaning} |`)
  return [
    generated,
    '# Commands',
    fenced(program.helpInformation()),
    ...sections,
    `## Exit codes\n\n| code | meaning |\n| ---- | ------- |\n${codes.join('\n')}`,
  ].join('\n\n')
}

function commandSection(command: Command): string {
  const parents: string[] = []
  for (let at: Command | null = command; at !== null; at = at.parent) parents.unshift(at.name())
  return `## ${parents.join(' ')}\n\n${fenced(helpOf(command))}`
}

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: part => void (text += part), getOutHelpWidth: () => helpWidth })
  command.outputHelp()
  return text.trimEnd()
}

function fenced(text: string): string {
  return `\`\`\`text\n${text.trimEnd()}\n\`\`\``
}

function kubefilePage(): string {
  return [generated, '# The Kubefile', intro, ...[...instructions.values()].map(instructionSection)].join('\n\n')
}

const intro = `The grammar is a Dockerfile's, with \`BASE\` and sealer's words added. Every instruction below is understood; those marked
"parsed" are refused when a build is planned, with their place in the file. Without any \`FROM\` an implicit \`FROM scratch\`
stands before line 1. \`ARCH\` (= \`TARGETARCH\`) and the \`TARGET*\` and \`BUILD*\` names expand in every stage.`

function instructionSection(spec: InstructionSpec): string {
  const flags = spec.flags.map(flagLine)
  return [
    `## ${spec.kind}`,
    `${sentence(spec.summary)}${spec.support === 'built' ? '' : ' *(parsed)*'}`,
    `    ${spec.usage}`,
    `For example:\n\n\`\`\`dockerfile\n${spec.example}\n\`\`\``,
    `Variables in its arguments are ${spec.expands ? '' : 'not '}expanded${spec.json === 'never' ? '' : `; the JSON form is ${spec.json}`}.`,
    ...(flags.length === 0 ? [] : [flags.join('\n')]),
  ].join('\n\n')
}

function flagLine(flag: FlagSpec): string {
  const value = flag.choices?.join('|') ?? (flag.value === 'text' ? 'VALUE' : '')
  const note = `${flag.isRepeatable === true ? ', may be repeated' : ''}${flag.support === 'built' ? '' : ' *(parsed)*'}`
  return `- \`--${flag.name}${value === '' ? '' : `=${value}`}\`: ${flag.summary}${note}`
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`
}

const pages = { 'docs/cli.md': commandPage(), 'docs/kubefile.md': kubefilePage() }
const check = process.argv.includes('--check')
const stale: string[] = []
for (const [path, text] of Object.entries(pages)) {
  const full = join(root, path)
  const wanted = `${text.trimEnd()}\n`
  if (check) {
    let found = ''
    try {
      found = readFileSync(full, 'utf8')
    } catch {
      found = ''
    }
    if (found !== wanted) stale.push(path)
  } else writeFileSync(full, wanted)
}
if (stale.length > 0) {
  console.error(`stale: ${stale.join(', ')}; run npm run docs`)
  process.exitCode = 1
}
