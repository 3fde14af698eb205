import { type Command, Option } from 'commander'
import { CloudimgError } from '../../core/error.ts'
import type { NodeFlags } from '../commands/run.ts'
import { type Act, examples, gather, positiveInteger } from '../options.ts'
import { addActionOptions, addReachOptions, fanoutOption, standInOption } from '../reach-options.ts'
import { addRegistryOptions } from '../registry-options.ts'
import type { Session } from '../session.ts'

export function addDeployCommands(program: Command, act: Act): void {
  const command = addNodeOptions(
    program
      .command('run [reference]')
      .description('deploy a cluster image: on this machine, or on hosts over ssh')
      .option('-f, --file <clusterfile>', 'take image and hosts from a Clusterfile')
      .option('--servers <hosts>', 'control-plane hosts, [user@]host[:port], separated by commas', gather)
      .option('--agents <hosts>', 'worker hosts', gather)
      .addOption(new Option('--masters <hosts>', 'as --servers').argParser(gather).hideHelp())
      .addOption(new Option('--nodes <hosts>', 'as --agents').argParser(gather).hideHelp()),
  )
  addRestartOptions(command)
    .option('--datastore-endpoint-file <file>', 'holds the URL of a datastore outside, password included')
    .addHelpText(
      'after',
      examples(
        'cloudimg run k3s:v1.31.4',
        'cloudimg run k3s:v1.31.4 --servers root@10.0.0.1 --agents 10.0.0.2,10.0.0.3 --dry-run',
        'cloudimg run k3s:v1.31.4 --servers 10.0.0.1,10.0.0.2,10.0.0.3 --endpoint k3s.example',
        'cloudimg run k3s:v1.31.4 --servers 10.0.0.1 --fix default-route',
        'cloudimg run k3s:v1.31.4 --servers 10.0.0.1 --agents 10.0.0.2 --registry managed',
        'cloudimg run -f Clusterfile',
        'cloudimg run -f Clusterfile --yes --max-unavailable 3',
      ),
    )
    .action((reference: string | undefined, flags: RunFlags, command: Command) =>
      act(command, session => run(session, reference, withMasters(flags))),
    )
}

type RunFlags = NodeFlags & MasterFlags & { readonly file?: string }

async function run(session: Session, reference: string | undefined, flags: RunFlags): Promise<number> {
  if (flags.file !== undefined)
    return await (await import('../commands/apply.ts')).runFile(session, flags.file, reference, flags)
  if (reference !== undefined) return await (await import('../commands/run.ts')).run(session, reference, flags)
  throw new CloudimgError('USAGE', 'running a cluster: no image is named', {
    hint: 'cloudimg run REFERENCE, or cloudimg run -f CLUSTERFILE',
  })
}

/** What the proposal calls servers and agents. */
export interface MasterFlags {
  readonly masters?: readonly string[]
  readonly nodes?: readonly string[]
}

export function withMasters<T extends NodeFlags>(flags: T & MasterFlags): T {
  return {
    ...flags,
    servers: [...(flags.servers ?? []), ...(flags.masters ?? [])],
    agents: [...(flags.agents ?? []), ...(flags.nodes ?? [])],
  }
}

/** For commands that may restart nodes for a new configuration. */
export function addRestartOptions(command: Command): Command {
  return command
    .option('--yes', 'restart nodes without asking where their configuration changes')
    .option(
      '--max-unavailable <number>',
      'agents restarted at once (default: 1); servers go one by one',
      positiveInteger,
    )
}

/** For commands that make nodes. */
export function addNodeOptions(command: Command): Command {
  command
    .option('--node-ip <host=address>', 'address in the cluster, where it cannot be told', gather)
    .option('--tls-san <name>', 'further name or address in the server’s certificate', gather)
    .option('--endpoint <name>', 'virtual address or balancer before the servers: in certificates and kubeconfig')
    .addOption(new Option('--vip <address>', 'as --endpoint').hideHelp())
    .option('--fix <finding>', 'let the plan cure this: default-route', gather)
    .option('--ignore <finding>', 'go on in spite of this (which: docs/preflight.md)', gather)
    .option('--allow-even', 'an even number of servers')
    .option('--convert-datastore', 'turn SQLite into embedded etcd, which a second server needs')
  addReachOptions(addRegistryOptions(command))
  command.addOption(fanoutOption())
  command.option('--pull', 'take the image from its registry, also where the store has it')
  return addActionOptions(command).addOption(standInOption())
}
