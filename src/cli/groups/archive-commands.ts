import { type Command, Option } from 'commander'
import type { LoadFlags, SaveFlags } from '../commands/archive.ts'
import { parsePlatforms } from '../image-argument.ts'
import { type Act, examples, gather } from '../options.ts'

export function addArchiveCommands(program: Command, act: Act): void {
  program
    .command('save <references...>')
    .description('write images into one archive that podman, ctr and docker load')
    .option('-o, --output <path>', 'file to write; stdout unless told')
    .addOption(new Option('--format <form>', 'the archive’s form').choices(['hybrid', 'oci-dir']).default('hybrid'))
    .option('--pull', 'take the image from its registry, also where the store has it')
    .option('--platform <platforms>', 'only these, separated by commas; all unless told', gather)
    .addHelpText(
      'after',
      examples(
        'cloudimg save -o k3s.tar registry.local/k3s:v1.31.4',
        'cloudimg save k3s:v1.31.4 | ssh site cloudimg load',
      ),
    )
    .action((references: string[], flags: SaveFlags & { platform?: readonly string[] }, command: Command) =>
      act(command, async session =>
        (await import('../commands/archive.ts')).save(session, references, {
          ...flags,
          platforms: parsePlatforms(flags.platform),
        }),
      ),
    )
  program
    .command('load')
    .description('read the images of an archive into the local store')
    .option('-i, --input <path>', 'archive or OCI layout directory; stdin unless told')
    .addHelpText('after', examples('cloudimg load -i k3s.tar', 'docker save alpine | cloudimg load'))
    .action((flags: LoadFlags, command: Command) =>
      act(command, async session => (await import('../commands/archive.ts')).load(session, flags)),
    )
}
