import type { Command } from 'commander'
import type { ConfirmFlags, UpgradeFlags } from '../commands/change-cluster.ts'
import type { NodeFlags } from '../commands/run.ts'
import { type Act, examples, gather, positiveInteger } from '../options.ts'
import {
  addActionOptions,
  addChoiceOptions,
  addReachOptions,
  type ChoiceFlags,
  fanoutOption,
  standInOption,
} from '../reach-options.ts'
import { addNodeOptions, type MasterFlags, withMasters } from './deploy-commands.ts'
import { addRegistryOptions } from '../registry-options.ts'
import { Option } from 'commander'

/** Commands on a cluster that exists. */
export function addClusterCommands(program: Command, act: Act): void {
  addJoin(program, act)
  addReplace(program, act)
  addUpgrade(program, act)
  addReset(program, act)
}

const load = () => import('../commands/change-cluster.ts')

function addJoin(program: Command, act: Act): void {
  const command = program
    .command('join <reference>')
    .description('add hosts to a cluster; the image is the one that it runs')
    .option('--servers <hosts>', 'further control-plane hosts', gather)
    .option('--agents <hosts>', 'further worker hosts', gather)
    .addOption(new Option('--masters <hosts>', 'as --servers').argParser(gather).hideHelp())
    .addOption(new Option('--nodes <hosts>', 'as --agents').argParser(gather).hideHelp())
  addNodeOptions(addChoiceOptions(command))
    .addHelpText(
      'after',
      examples(
        'cloudimg join k3s:v1.31.4 --agents 10.0.0.7',
        'cloudimg join k3s:v1.31.4 --server 10.0.0.1 --servers 10.0.0.2,10.0.0.3',
      ),
    )
    .action((reference: string, flags: NodeFlags & ChoiceFlags & MasterFlags, command: Command) =>
      act(command, async session => (await load()).join(session, reference, withMasters(flags))),
    )
}

function addReplace(program: Command, act: Act): void {
  const command = program
    .command('replace <reference> <host>')
    .description('take a host back that was imaged anew and has its old name')
  addNodeOptions(addChoiceOptions(command))
    .addHelpText('after', examples('cloudimg replace k3s:v1.31.4 10.0.0.3 --server 10.0.0.1'))
    .action((reference: string, host: string, flags: NodeFlags & ChoiceFlags, command: Command) =>
      act(command, async session => (await load()).replace(session, reference, host, flags)),
    )
}

function addUpgrade(program: Command, act: Act): void {
  const command = program
    .command('upgrade <reference>')
    .description('switch every node to another image: servers one by one, then agents')
    .option('--drain', 'let the pods leave a node first')
    .option('--max-unavailable <number>', 'agents switched at once (default: 1)', positiveInteger)
    .option('--yes', 'do not ask')
    .option('--pull', 'take the image from its registry, also where the store has it')
  addActionOptions(addReachOptions(addRegistryOptions(addChoiceOptions(command))))
    .addOption(fanoutOption())
    .addOption(standInOption())
    .addHelpText(
      'after',
      examples(
        'cloudimg upgrade k3s:v1.31.5 --dry-run',
        'cloudimg upgrade k3s:v1.31.5 --drain --max-unavailable 3 --yes',
        'cloudimg upgrade k3s:v1.31.5 --undo',
      ),
    )
    .action((reference: string, flags: UpgradeFlags, command: Command) =>
      act(command, async session => (await load()).upgrade(session, reference, flags)),
    )
}

function addReset(program: Command, act: Act): void {
  const command = program
    .command('reset')
    .description('take the whole cluster away, with all its data; hosts are what they were before')
    .option('--confirm <cluster>', 'the cluster’s name, instead of typing it')
  addActionOptions(addReachOptions(addChoiceOptions(command)))
    .addHelpText('after', examples('cloudimg reset --dry-run', 'cloudimg reset --confirm c-0123456789ab'))
    .action((flags: ConfirmFlags, command: Command) =>
      act(command, async session => (await load()).reset(session, flags)),
    )
}
