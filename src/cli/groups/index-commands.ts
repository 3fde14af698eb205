import type { Command } from 'commander'
import type { IndexFlags } from '../commands/image-index.ts'
import { parsePlatforms } from '../image-argument.ts'
import { type Act, examples, gather } from '../options.ts'

export function addIndexCommands(program: Command, act: Act): void {
  const index = program.command('index').description('one name for images of several platforms')
  index
    .command('create <reference> <images...>')
    .description('join images, of the store or else of their registries, under a name in the store')
    .option('--replace', 'of two images for one platform the later one stays')
    .option('--pull', 'ask the registries first')
    .addHelpText(
      'after',
      examples('cloudimg index create registry.local/k3s:v1.31.4 registry.local/k3s:amd64 registry.local/k3s:arm64'),
    )
    .action((reference: string, images: string[], flags: IndexFlags, command: Command) =>
      act(command, async session =>
        (await import('../commands/image-index.ts')).joinImages(session, reference, images, flags),
      ),
    )
  index
    .command('add <reference> <images...>')
    .description('add images to what a name in the store has')
    .option('--replace', 'of two images for one platform the later one stays')
    .option('--pull', 'ask the registries first')
    .addHelpText('after', examples('cloudimg index add k3s:v1.31.4 registry.local/k3s:arm64 --replace'))
    .action((reference: string, images: string[], flags: IndexFlags, command: Command) =>
      act(command, async session =>
        (await import('../commands/image-index.ts')).joinImages(session, reference, images, {
          ...flags,
          isAddition: true,
        }),
      ),
    )
  index
    .command('remove <reference>')
    .description('take platforms out of what a name in the store has')
    .requiredOption('--platform <platforms>', 'these, separated by commas', gather)
    .addHelpText('after', examples('cloudimg index remove k3s:v1.31.4 --platform linux/arm64'))
    .action((reference: string, flags: { platform: readonly string[] }, command: Command) =>
      act(command, async session =>
        (await import('../commands/image-index.ts')).removeFromIndex(
          session,
          reference,
          parsePlatforms(flags.platform) ?? [],
        ),
      ),
    )
  index
    .command('ls <reference>')
    .description('list what a name in the store has for which platform')
    .addHelpText('after', examples('cloudimg index ls k3s:v1.31.4'))
    .action((reference: string, _flags: object, command: Command) =>
      act(command, async session => (await import('../commands/image-index.ts')).listIndex(session, reference)),
    )
  for (const command of index.commands) command.exitOverride().copyInheritedSettings(program)
}
