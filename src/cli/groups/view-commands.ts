import type { Command } from 'commander'
import type { KubeconfigFlags, ViewFlags } from '../commands/cluster-views.ts'
import { type Act, examples } from '../options.ts'
import { addChoiceOptions, addReachOptions } from '../reach-options.ts'

const load = () => import('../commands/cluster-views.ts')

/** Commands that look at a cluster. */
export function addViewCommands(program: Command, act: Act): void {
  addReachOptions(
    addChoiceOptions(program.command('status').description('what there is, and whether it is as declared')),
  )
    .addHelpText('after', examples('cloudimg status', 'cloudimg status --server 10.0.0.1 --json'))
    .action((flags: ViewFlags, command: Command) =>
      act(command, async session => (await load()).status(session, flags)),
    )
  addReachOptions(
    addChoiceOptions(
      program.command('exec <hosts> <command...>').description('run a command as root on nodes, side by side'),
    ),
  )
    .addHelpText(
      'after',
      examples('cloudimg exec all -- uptime', 'cloudimg exec node1,node2 -- journalctl -u k3s -n 20'),
    )
    .action((hosts: string, argv: readonly string[], flags: ViewFlags, command: Command) =>
      act(command, async session => (await load()).exec(session, hosts, argv, flags)),
    )
  addReachOptions(
    addChoiceOptions(program.command('kubeconfig').description('fetch the admin’s kubeconfig, and say where it is')),
  )
    .option('--merge', 'add it to your own kubeconfig as a context')
    .option('--endpoint <name>', 'how kubectl shall reach the servers')
    .addHelpText('after', examples('cloudimg kubeconfig', 'cloudimg kubeconfig --merge --endpoint k3s.example'))
    .action((flags: KubeconfigFlags, command: Command) =>
      act(command, async session => (await load()).kubeconfig(session, flags)),
    )
}
