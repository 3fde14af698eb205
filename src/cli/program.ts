import { Command, Option } from 'commander'
import { readFileSync } from 'node:fs'
import { exitCodeMeanings } from './exit-code.ts'
import { addArchiveCommands } from './groups/archive-commands.ts'
import { addBuildCommands } from './groups/build-commands.ts'
import { addCareCommands } from './groups/care-commands.ts'
import { addClusterCommands } from './groups/cluster-commands.ts'
import { addClusterfileCommands } from './groups/clusterfile-commands.ts'
import { addDeleteCommand } from './groups/delete-command.ts'
import { addDeployCommands } from './groups/deploy-commands.ts'
import { addDoctorCommand } from './groups/doctor-command.ts'
import { addImageCommands } from './groups/image-commands.ts'
import { addIndexCommands } from './groups/index-commands.ts'
import { addKubefileCommands } from './groups/kubefile-commands.ts'
import { addLoginCommands } from './groups/login-commands.ts'
import { addProveCommands } from './groups/prove-commands.ts'
import { addRegistryCommands } from './groups/registry-commands.ts'
import { addServeCommand } from './groups/serve-command.ts'
import { addStoreCommands } from './groups/store-commands.ts'
import { addTransferCommands } from './groups/transfer-commands.ts'
import { addViewCommands } from './groups/view-commands.ts'
import { addWorkloadCommands } from './groups/workload-commands.ts'
import type { Act } from './options.ts'
import { type GlobalOptions, runSession } from './session.ts'
import type { Terminal } from './terminal.ts'
import { packageFile } from '../io/package-file.ts'

/** What a command leaves behind for `main`: the exit code. */
export interface Outcome {
  code: number
}

/**
 * Every command with its options, help and examples. Actions are loaded when they are used, and commands behind the `wanted` one
 * are left out: start-up stays quick.
 */
export function createProgram(terminal: Terminal, outcome: Outcome, wanted?: string): Command {
  const program = new Command('cloudimg')
    .description('Pack a whole Kubernetes cluster into one OCI image and deploy it where there is no internet.')
    .version(packageVersion(), '-V, --version')
    .addOption(
      new Option('--progress <mode>', 'how progress is shown')
        .choices(['auto', 'tty', 'plain', 'json'])
        .default('auto'),
    )
    .option('-q, --quiet', 'only warnings, errors and the answer')
    .option('--json', 'the answer as one JSON object')
    .option('--debug', 'stack traces with errors')
    .showHelpAfterError('(cloudimg --help shows what there is)')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: text => void terminal.stdout.write(text),
      writeErr: text => void terminal.stderr.write(text),
      getOutHelpWidth: () => terminal.stdout.columns ?? 80,
    })
    .addHelpText('after', exitCodeHelp)
  const act: Act = async (command, action) => {
    outcome.code = await runSession(terminal, command.optsWithGlobals<GlobalOptions>(), action)
  }
  for (const [heading, groups] of chapters) {
    program.commandsGroup(heading)
    // What completes words looks at every command.
    for (const add of groups) if (wanted === '__complete' || !hasCommand(program, wanted)) add(program, act)
  }
  for (const command of program.commands) command.exitOverride().copyInheritedSettings(program)
  return program
}

function hasCommand(program: Command, name: string | undefined): boolean {
  return program.commands.some(command => command.name() === name || command.aliases().some(alias => alias === name))
}

/** The help's chapters, in the order in which a cluster comes to be. */
const chapters: readonly (readonly [heading: string, groups: readonly ((program: Command, act: Act) => void)[]])[] = [
  ['Build:', [addBuildCommands, addKubefileCommands, addDoctorCommand, addIndexCommands]],
  ['Look inside:', [addWorkloadCommands, addProveCommands]],
  [
    'Registries and archives:',
    [addTransferCommands, addArchiveCommands, addRegistryCommands, addLoginCommands, addServeCommand],
  ],
  ['Local store:', [addImageCommands, addStoreCommands]],
  [
    'Deploy:',
    [addDeployCommands, addClusterfileCommands, addClusterCommands, addDeleteCommand, addViewCommands, addCareCommands],
  ],
]

const exitCodeHelp = `\nExit codes:\n${exitCodeMeanings.map(([code, meaning]) => `  ${String(code).padEnd(4)} ${meaning}`).join('\n')}\n`

function packageVersion(): string {
  const text = readFileSync(packageFile('package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
