import type { Command } from 'commander'
import type { PruneFlags } from '../commands/prune.ts'
import { type Act, examples, gather } from '../options.ts'

export function addStoreCommands(program: Command, act: Act): void {
  program
    .command('gc')
    .description('remove what no name, cache or running process needs')
    .option('--dry-run', 'say what would go, remove nothing')
    .addHelpText(
      'after',
      `
Safe at any time: builds, pulls and servers that run keep what they use.
Cached layers and downloads stay; "cloudimg prune --cache" removes them too.
${examples('cloudimg gc', 'cloudimg gc --dry-run --json')}`,
    )
    .action((flags: { dryRun?: boolean }, command: Command) =>
      act(command, async session => (await import('../commands/gc.ts')).gc(session, flags)),
    )
  program
    .command('prune')
    .description('remove images without a name, and with flags names and caches too')
    .option('-a, --all', 'every name too, not only what has none')
    .option('--cache', 'cached layers, bases and downloads too: building again fetches and makes them anew')
    .option(
      '--filter <filter>',
      'until=TIME: only what came into the store before; 24h, 90m, 7d, a date, or seconds since 1970',
      gather,
    )
    .option('--dry-run', 'say what would go, remove nothing')
    .option('-f, --force', 'do not ask')
    .addHelpText(
      'after',
      `
What a name or a running process still needs is kept, whatever else goes.
${examples(
  'cloudimg prune',
  'cloudimg prune --cache --filter until=168h',
  'cloudimg prune --all --cache --force',
  'cloudimg prune --all --filter until=2026-01-31 --dry-run',
)}`,
    )
    .action((flags: PruneFlags, command: Command) =>
      act(command, async session => (await import('../commands/prune.ts')).prune(session, flags)),
    )
  program
    .command('fsck')
    .description('read the whole store and check every digest, name and layer in it')
    .option('--repair', 'move what is broken out of the way, and say what to pull or build again')
    .addHelpText(
      'after',
      `
Exit code 0 where all is well (or was repaired), 5 where something is broken or missing.
${examples('cloudimg fsck', 'cloudimg fsck --repair')}`,
    )
    .action((flags: { repair?: boolean }, command: Command) =>
      act(command, async session => (await import('../commands/fsck.ts')).fsck(session, flags)),
    )
  program
    .command('df')
    .description('show what takes how much room in the local store')
    .option('-v, --verbose', 'each image too, with what it shares and what is its own')
    .addHelpText('after', examples('cloudimg df', 'cloudimg df --verbose'))
    .action((flags: { verbose?: boolean }, command: Command) =>
      act(command, async session => (await import('../commands/df.ts')).df(session, flags)),
    )
}
