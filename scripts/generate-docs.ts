// Writes the pages that are made from code: docs/cli.md from the commands, docs/kubefile.md from the instruction table
// and scripts/kubefile-guide/, docs/rules/README.md from the lint rules, schemas/clusterfile.json from what is checked,
// docs/preflight.md from the judges of machines and scripts/preflight-problems.ts.
// With --check it writes nothing and fails where a page is not what it would write.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { exitCodeMeanings } from '../src/cli/exit-code.ts'
import { createProgram } from '../src/cli/program.ts'
import { clusterfileJsonSchema } from '../src/deploy/clusterfile/schema.ts'
import { lintRules } from '../src/kubefile/lint/rules.ts'
import { preflightPage } from './preflight-page.ts'
import { type FlagSpec, instructions, type InstructionSpec } from '../src/kubefile/instructions.ts'

const root = join(import.meta.dirname, '..')
// Fixed, so that the pages do not depend on anybody's window.
const helpWidth = 100
const generated = '<!-- Made by `npm run docs`; change the code instead. -->'

function commandPage(): string {
  const { stdout, stderr, stdin } = process
  const program = createProgram({ stdout, stderr, stdin, env: {} }, { code: 0 })
  program.configureOutput({ getOutHelpWidth: () => helpWidth })
  const sections = program
    .createHelp()
    .visibleCommands(program)
    .filter(command => command.name() !== 'help')
    .flatMap(command => [command, ...command.commands])
    .map(commandSection)
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

/** `scripts/kubefile-guide/`: what the table does not say, a file for each instruction and each chapter. */
function guide(name: string): string {
  return readFileSync(join(import.meta.dirname, 'kubefile-guide', `${name}.md`), 'utf8').trim()
}

function kubefilePage(): string {
  const overview = [...instructions.values()].map(
    ({ kind, summary }) => `| [${kind}](#${kind.toLowerCase()}) | ${summary.replaceAll('|', '\\|')} |`,
  )
  return [
    generated,
    '# The Kubefile',
    ...['intro', 'structure', 'variables', 'context'].map(guide),
    `## Instructions\n\n| instruction | meaning |\n| --- | --- |\n${overview.join('\n')}`,
    ...[...instructions.values()].map(instructionSection),
    ...['toolbox', 'lock', 'lint', 'differences'].map(guide),
  ].join('\n\n')
}

function instructionSection(spec: InstructionSpec): string {
  const flags = spec.flags.map(flagLine)
  const json = spec.json === 'never' ? '' : `; the JSON form is ${spec.json}`
  return [
    `### ${spec.kind}`,
    `${sentence(spec.summary)}${spec.support === 'built' ? '' : ' *(parsed, not yet built)*'}`,
    `    ${spec.usage}`,
    `\`\`\`dockerfile\n${spec.example}\n\`\`\``,
    `Variables are ${spec.expands ? '' : 'not '}expanded${json}.`,
    ...(flags.length === 0 ? [] : [flags.join('\n')]),
    guide(spec.kind),
  ].join('\n\n')
}

function flagLine(flag: FlagSpec): string {
  const value = flag.choices?.join('|') ?? (flag.value === 'text' ? 'VALUE' : '')
  const note = `${flag.isRepeatable === true ? ', may be repeated' : ''}${flag.support === 'built' ? '' : ' *(parsed, not yet built)*'}`
  return `- \`--${flag.name}${value === '' ? '' : `=${value}`}\`: ${flag.summary}${note}`
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`
}

function rulesPage(): string {
  const rows = lintRules.map(({ id, severity, summary, fixes }) => {
    return `| [${id}](${id}.md) | ${severity} | ${fixes === true ? 'yes' : ''} | ${summary.replaceAll('|', '\\|')} |`
  })
  return [
    generated,
    '# Lint rules',
    'What `cloudimg lint` looks for; [kubefile.md](../kubefile.md#lint) says how to skip a rule. The mistakes of grammar that a build refuses have no page: they explain themselves.',
    `| rule | severity | \`--fix\` | what |\n| --- | --- | --- | --- |\n${rows.join('\n')}`,
  ].join('\n\n')
}

const pages = {
  'docs/cli.md': commandPage(),
  'docs/kubefile.md': kubefilePage(),
  'docs/rules/README.md': rulesPage(),
  'docs/preflight.md': [generated, preflightPage()].join('\n\n'),
  'schemas/clusterfile.json': JSON.stringify(clusterfileJsonSchema(), undefined, 2),
}
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
