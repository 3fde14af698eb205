import type { Command } from 'commander'
import { CloudimgError } from '../../core/error.ts'
import type { ConfirmFlags } from '../commands/change-cluster.ts'
import type { DeleteFlags } from '../commands/delete.ts'
import { type Act, examples, gather } from '../options.ts'
import { addActionOptions, addChoiceOptions, addReachOptions } from '../reach-options.ts'
import type { Session } from '../session.ts'

/** One word for two things that cannot be mistaken for each other: an image in a registry has a slash, a host has none. */
export function addDeleteCommand(program: Command, act: Act): void {
  const command = program
    .command('delete <hosts-or-image...>')
    .description('take nodes out of the cluster: drained, forgotten, uninstalled; or an image out of a registry')
    .option('--force-unreachable <host>', 'nodes: do without this host; what shall leave is forgotten only', gather)
    .option('--confirm <cluster>', 'nodes: the cluster’s name, instead of typing it')
    .option('-y, --yes', 'image: do not ask')
    .option('--insecure', 'image: take plain http and certificates that nobody vouches for')
  addActionOptions(addReachOptions(addChoiceOptions(command)))
    .addHelpText(
      'after',
      examples(
        'cloudimg delete node4',
        'cloudimg delete 10.0.0.3 --confirm c-0123456789ab',
        'cloudimg delete 10.0.0.3 --force-unreachable 10.0.0.3',
        'cloudimg delete registry.local:5000/k3s:v1.30.0',
        'cloudimg delete --yes registry.local:5000/k3s@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
      ),
    )
    .action((things: readonly string[], flags: ConfirmFlags & DeleteFlags, command: Command) =>
      act(command, session => remove(session, things, flags)),
    )
}

async function remove(
  session: Session,
  things: readonly string[],
  flags: ConfirmFlags & DeleteFlags,
): Promise<number | void> {
  if (!things.some(thing => thing.includes('/')))
    return await (await import('../commands/change-cluster.ts')).deleteNodes(session, things, flags)
  const [image, ...rest] = things
  if (image === undefined || rest.length > 0)
    throw new CloudimgError(
      'USAGE',
      `deleting "${things.join(' ')}": images are deleted one by one, apart from nodes`,
      {
        hint: 'name one image',
      },
    )
  const { remove: removeImage } = await import('../commands/delete.ts')
  return await removeImage(session, image, flags)
}
