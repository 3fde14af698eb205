import type { Command } from 'commander'
import { onePlatform } from '../image-argument.ts'
import { type Act, examples } from '../options.ts'

export function addImageCommands(program: Command, act: Act): void {
  program
    .command('images')
    .description('list the images in the local store')
    .action((_options, command: Command) =>
      act(command, async session => (await import('../commands/images.ts')).images(session)),
    )
  program
    .command('inspect <reference>')
    .description('show index, manifests and configs as JSON')
    .option('--platform <platform>', 'only this platform')
    .addHelpText('after', examples('cloudimg inspect registry.local/k3s:v1.31.4 --platform linux/arm64'))
    .action((reference: string, options: { platform?: string }, command: Command) =>
      act(command, async session =>
        (await import('../commands/inspect.ts')).inspect(
          session,
          reference,
          options.platform === undefined ? undefined : onePlatform(options.platform),
        ),
      ),
    )
  program
    .command('history <reference>')
    .description('show which instruction made which layer')
    .option('--platform <platform>', 'the platform to look at; this machine’s unless told')
    .action((reference: string, options: { platform?: string }, command: Command) =>
      act(command, async session =>
        (await import('../commands/history.ts')).history(session, reference, onePlatform(options.platform)),
      ),
    )
  program
    .command('tag <source> <target>')
    .description('give an image another name')
    .addHelpText('after', examples('cloudimg tag k3s:v1.31.4 registry.local:5000/k3s:v1.31.4'))
    .action((source: string, target: string, _options, command: Command) =>
      act(command, async session => (await import('../commands/names.ts')).tag(session, source, target)),
    )
  program
    .command('rmi <references...>')
    .description('remove names from the local store')
    .action((references: string[], _options, command: Command) =>
      act(command, async session => (await import('../commands/names.ts')).removeImages(session, references)),
    )
  program
    .command('unpack <reference> <directory>')
    .description('write one platform’s tree as plain files')
    .option('--platform <platform>', 'the platform to unpack; this machine’s unless told')
    .addHelpText('after', examples('cloudimg unpack registry.local/k3s:v1.31.4 ./rootfs --platform linux/amd64'))
    .action((reference: string, directory: string, options: { platform?: string }, command: Command) =>
      act(command, async session =>
        (await import('../commands/unpack.ts')).unpack(session, reference, directory, onePlatform(options.platform)),
      ),
    )
}
