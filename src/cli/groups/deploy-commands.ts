import { type Command, Option } from 'commander'
import type { RunFlags } from '../commands/run.ts'
import { type Act, examples, gather, positiveInteger } from '../options.ts'

export function addDeployCommands(program: Command, act: Act): void {
  program
    .command('run <reference>')
    .description('deploy a cluster image: on this machine, or on hosts over ssh')
    .option('--servers <hosts>', 'control-plane hosts, [user@]host[:port], separated by commas', gather)
    .option('--agents <hosts>', 'worker hosts', gather)
    .addOption(new Option('--masters <hosts>', 'as --servers').argParser(gather).hideHelp())
    .addOption(new Option('--nodes <hosts>', 'as --agents').argParser(gather).hideHelp())
    .option('--node-ip <host=address>', 'address in the cluster, where it cannot be told', gather)
    .option('--tls-san <name>', 'further name or address in the server’s certificate', gather)
    .option('--fix <finding>', 'let the plan cure this: default-route', gather)
    .option('-F, --ssh-config <file>', 'ssh configuration; your own unless told')
    .option('-i, --identity <file>', 'ssh private key')
    .option('--accept-new-host-keys', 'trust hosts that known_hosts does not know')
    .option('--ask-password', 'ask for the ssh password')
    .option('--ask-sudo-password', 'ask for the sudo password')
    .option('--timeout <seconds>', 'for one node to come up (default: 900)', positiveInteger)
    .option('--concurrency <number>', 'hosts worked on at once (default: 10)', positiveInteger)
    .option('--pull', 'take the image from its registry, also where the store has it')
    .option('--dry-run', 'show every step, change nothing')
    .option('--exit-code', 'with --dry-run: exit with 9 where something would change')
    .addOption(new Option('--allow-stand-in', 'deploy the k3s of the tests, which runs nothing').hideHelp())
    .addHelpText(
      'after',
      examples(
        'cloudimg run k3s:v1.31.4',
        'cloudimg run k3s:v1.31.4 --servers root@10.0.0.1 --agents 10.0.0.2,10.0.0.3 --dry-run',
        'cloudimg run k3s:v1.31.4 --servers 10.0.0.1 --fix default-route',
      ),
    )
    .action(
      (
        reference: string,
        flags: RunFlags & { masters?: readonly string[]; nodes?: readonly string[] },
        command: Command,
      ) =>
        act(command, async session =>
          (await import('../commands/run.ts')).run(session, reference, {
            ...flags,
            servers: [...(flags.servers ?? []), ...(flags.masters ?? [])],
            agents: [...(flags.agents ?? []), ...(flags.nodes ?? [])],
          }),
        ),
    )
}
