import type { Command } from 'commander'
import { onePlatform } from '../image-argument.ts'
import { type Act, examples } from '../options.ts'

export function addWorkloadCommands(program: Command, act: Act): void {
  program
    .command('deps <directory-or-reference>')
    .description('list the container images that a rootfs or a cluster image asks for, and the lines that ask')
    .option('--platform <platform>', 'of an image; this machine’s unless told')
    .addHelpText(
      'after',
      `
Images are found in manifests/, manifests/imageList, images/shim/, the runtime's own list, and charts/. Charts are rendered
with helm where there is one, else their values are read. Values that may be images, and files that cannot be read, are
listed apart: a build does not collect what they ask for.
${examples('cloudimg deps .', 'cloudimg deps registry.local/k3s:v1.31.4', 'cloudimg deps . --json | jq -r ".images[].image"')}`,
    )
    .action((subject: string, flags: { platform?: string }, command: Command) =>
      act(command, async session =>
        (await import('../commands/deps.ts')).deps(session, subject, onePlatform(flags.platform)),
      ),
    )
}
