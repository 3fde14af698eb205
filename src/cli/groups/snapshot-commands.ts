import type { Command } from 'commander'
import type { ListFlags, RecoverFlags, RestoreFlags, SaveFlags } from '../commands/snapshot.ts'
import { type Act, examples, gather } from '../options.ts'
import { addActionOptions, addChoiceOptions, addReachOptions } from '../reach-options.ts'

const load = () => import('../commands/snapshot.ts')

/** Commands on the datastore of a cluster. */
export function addSnapshotCommands(program: Command, act: Act): void {
  const snapshot = program.command('snapshot').description('keep the state of a cluster, and go back to it')
  addSave(snapshot, act)
  addList(snapshot, act)
  addRestore(snapshot, act)
  addRecover(program, act)
}

function addSave(snapshot: Command, act: Act): void {
  const command = snapshot
    .command('save')
    .description('bring the state here, with the token that opens it; with one server its k3s stops for a moment')
  addActionOptions(addReachOptions(addChoiceOptions(command)))
    .addHelpText('after', examples('cloudimg snapshot save', 'cloudimg snapshot save --server 10.0.0.1 --dry-run'))
    .action((flags: SaveFlags, command: Command) => act(command, async session => (await load()).save(session, flags)))
}

function addList(snapshot: Command, act: Act): void {
  const command = snapshot
    .command('list')
    .description('the snapshots that are kept here')
    .option('--on-servers', 'also those that k3s keeps on the servers')
  addReachOptions(addChoiceOptions(command))
    .addHelpText('after', examples('cloudimg snapshot list', 'cloudimg snapshot list --on-servers --json'))
    .action((flags: ListFlags, command: Command) => act(command, async session => (await load()).list(session, flags)))
}

function addRestore(snapshot: Command, act: Act): void {
  const command = snapshot
    .command('restore <snapshot>')
    .description('go back to a snapshot; what was written since is lost')
    .option('--force-unreachable <hosts>', 'do without these machines; the cluster forgets their servers', gather)
    .option('--confirm <cluster>', 'the cluster’s name, instead of typing it')
  addActionOptions(addReachOptions(addChoiceOptions(command)))
    .addHelpText(
      'after',
      examples(
        'cloudimg snapshot restore 20260102T030405Z-a1b2c3 --dry-run',
        'cloudimg snapshot restore 20260102T030405Z-a1b2c3 --confirm c-0123456789ab',
      ),
    )
    .action((name: string, flags: RestoreFlags, command: Command) =>
      act(command, async session => (await load()).restore(session, name, flags)),
    )
}

function addRecover(program: Command, act: Act): void {
  const command = program
    .command('recover')
    .description('go on with the data of one server, where the majority of the servers is lost')
    .requiredOption('--server <host>', 'the server whose data count, [user@]host[:port]')
    .option('--force-unreachable <hosts>', 'do without these machines; the cluster forgets their servers', gather)
    .option('--force', 'although a server answers: what others know alone is lost')
    .option('--confirm <cluster>', 'the cluster’s name, instead of typing it')
  addActionOptions(addReachOptions(command))
    .addHelpText(
      'after',
      examples(
        'cloudimg recover --server 10.0.0.1 --dry-run',
        'cloudimg recover --server 10.0.0.1 --force-unreachable 10.0.0.2,10.0.0.3',
      ),
    )
    .action((flags: RecoverFlags, command: Command) =>
      act(command, async session => (await load()).recover(session, flags)),
    )
}
