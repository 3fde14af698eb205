import { type Command, Option } from 'commander'
import type { ApplyFlags } from '../commands/apply.ts'
import type { GenFlags } from '../commands/gen.ts'
import type { PreflightFlags } from '../commands/preflight.ts'
import { type Act, examples, gather } from '../options.ts'
import { addRegistryOptions } from '../registry-options.ts'
import { addReachOptions, standInOption } from '../reach-options.ts'
import { addNodeOptions, type MasterFlags, withMasters } from './deploy-commands.ts'

/** Commands about Clusterfiles. */
export function addClusterfileCommands(program: Command, act: Act): void {
  addGen(program, act)
  addApply(program, act)
  addPreflight(program, act)
}

function addGen(program: Command, act: Act): void {
  program
    .command('gen <reference>')
    .description('write a Clusterfile: an image and the hosts that are to run it')
    .option('--servers <hosts>', 'control-plane hosts, [user@]host[:port], separated by commas', gather)
    .option('--agents <hosts>', 'worker hosts', gather)
    .option('--node-ip <host=address>', 'address in the cluster, where it cannot be told', gather)
    .option('--tls-san <name>', 'further name or address in the server’s certificate', gather)
    .option('--endpoint <name>', 'virtual address or balancer before the servers')
    .option('-i, --identity <file>', 'ssh private key')
    .option('-o, --output <file>', 'write there instead of to stdout')
    .addHelpText(
      'after',
      examples(
        'cloudimg gen k3s:v1.31.4 --servers root@10.0.0.1 --agents 10.0.0.2,10.0.0.3 -o Clusterfile',
        'cloudimg gen k3s:v1.31.4 --output Clusterfile',
      ),
    )
    .action((reference: string, flags: GenFlags, command: Command) =>
      act(command, async session => (await import('../commands/gen.ts')).gen(session, reference, flags)),
    )
}

function addApply(program: Command, act: Act): void {
  const command = program
    .command('apply')
    .description(
      'make a cluster what a Clusterfile declares: hosts join, nodes are marked; --dry-run says what differs',
    )
    .requiredOption('-f, --file <clusterfile>', 'the Clusterfile; those of sealer are taken too')
    .option('--prune', 'let nodes go that the file does not declare; they are only named otherwise')
    .option('--confirm <cluster>', 'with --prune: the cluster’s name, instead of typing it')
    .option('--yes', 'upgrade without asking where nodes run another image')
    .option('--drain', 'let the pods leave a node before it is upgraded')
  addNodeOptions(command)
    .addHelpText(
      'after',
      examples(
        'cloudimg apply -f Clusterfile',
        'cloudimg apply -f Clusterfile --dry-run --exit-code',
        'cloudimg apply -f Clusterfile --yes --prune --confirm c-0123456789ab',
      ),
    )
    .action((flags: ApplyFlags, command: Command) =>
      act(command, async session => (await import('../commands/apply.ts')).apply(session, flags)),
    )
}

function addPreflight(program: Command, act: Act): void {
  const command = program
    .command('preflight [reference]')
    .description('say what would keep hosts from being nodes, and what to do about it; changes nothing')
    .option('-f, --file <clusterfile>', 'take image and hosts from a Clusterfile')
    .option(
      '--servers <hosts>',
      'control-plane hosts, [user@]host[:port], separated by commas; this machine unless told',
      gather,
    )
    .option('--agents <hosts>', 'worker hosts', gather)
    .addOption(new Option('--masters <hosts>', 'as --servers').argParser(gather).hideHelp())
    .addOption(new Option('--nodes <hosts>', 'as --agents').argParser(gather).hideHelp())
    .option('--node-ip <host=address>', 'address in the cluster, where it cannot be told', gather)
    .option('--allow-even', 'an even number of servers')
    .option('--pull', 'take the image from its registry, also where the store has it')
  addReachOptions(addRegistryOptions(command))
    .addOption(standInOption())
    .addHelpText(
      'after',
      examples(
        'cloudimg preflight',
        'cloudimg preflight k3s:v1.31.4 --servers root@10.0.0.1 --agents 10.0.0.2 --json',
        'cloudimg preflight -f Clusterfile',
      ),
    )
    .action((reference: string | undefined, flags: PreflightFlags & MasterFlags, command: Command) =>
      act(command, async session =>
        (await import('../commands/preflight.ts')).preflight(session, reference, withMasters(flags)),
      ),
    )
}
