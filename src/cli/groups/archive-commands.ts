import { type Command, Option } from 'commander'
import type { LoadFlags, SaveFlags } from '../commands/archive.ts'
import type { InventoryFlags } from '../commands/inventory.ts'
import { parsePlatforms } from '../image-argument.ts'
import { type Act, examples, gather, partSize } from '../options.ts'

export function addArchiveCommands(program: Command, act: Act): void {
  addSave(program, act)
  addLoad(program, act)
  addInventory(program, act)
}

function addSave(program: Command, act: Act): void {
  program
    .command('save <references...>')
    .description('write images into one archive that podman, ctr and docker load')
    .option('-o, --output <path>', 'file, or directory with oci-dir, to write; stdout unless told')
    .addOption(
      new Option('--format <form>', 'the archive’s form')
        .choices(['hybrid', 'oci-archive', 'docker-archive', 'oci-dir'])
        .default('hybrid'),
    )
    .option('--pull', 'take the image from its registry, also where the store has it')
    .option('--platform <platforms>', 'only these, separated by commas; all unless told', gather)
    .option(
      '--split <size>',
      'write parts of at most so many bytes, and a list of them: OUTPUT.001 … OUTPUT.parts.json',
      partSize,
    )
    .option(
      '--have <inventory>',
      'leave out what the other side has, as cloudimg inventory told there; - for stdin',
      gather,
    )
    .addHelpText(
      'after',
      `
Forms:
  hybrid          an OCI layout that docker reads too: for podman, ctr, docker, skopeo and k3s
  oci-archive     an OCI layout alone; smaller where layers are zstd, docker reads it from 25 on
  docker-archive  as docker save wrote it before 25: one platform, digests of manifests are lost
  oci-dir         an OCI layout directory, for skopeo and umoci
${examples(
  'cloudimg save -o k3s.tar registry.local/k3s:v1.31.4',
  'cloudimg save k3s:v1.31.4 | ssh site cloudimg load',
  'cloudimg save --split 4G -o /media/stick/k3s.tar k3s:v1.31.4',
  'cloudimg save --have site.txt -o delta.tar k3s:v1.31.5',
)}`,
    )
    .action((references: string[], flags: SaveFlags & { platform?: readonly string[] }, command: Command) =>
      act(command, async session =>
        (await import('../commands/archive.ts')).save(session, references, {
          ...flags,
          platforms: parsePlatforms(flags.platform),
        }),
      ),
    )
}

function addLoad(program: Command, act: Act): void {
  program
    .command('load')
    .description('read the images of an archive into the local store')
    .option(
      '-i, --input <path>',
      'archive, OCI layout directory, or a part of an archive; may be repeated; stdin unless told',
      gather,
    )
    .addHelpText(
      'after',
      `
Takes what cloudimg, docker, podman, ctr, nerdctl, skopeo and buildah save, plain or packed by
gzip or zstd. Parts are found beside their list; name those that lie elsewhere, in any order.
${examples(
  'cloudimg load -i k3s.tar',
  'docker save alpine | cloudimg load',
  'cloudimg load -i k3s.tar.parts.json',
  'cloudimg load -i /mnt/a/k3s.tar.parts.json -i /mnt/b/k3s.tar.002',
)}`,
    )
    .action((flags: LoadFlags, command: Command) =>
      act(command, async session => (await import('../commands/archive.ts')).load(session, flags)),
    )
}

function addInventory(program: Command, act: Act): void {
  program
    .command('inventory [references...]')
    .description('print the digests of the blobs that are here, for save --have on the other side')
    .option('--remote', 'ask the registries of the references; one without a tag stands for all tags')
    .option('--insecure', 'with --remote: take plain http and certificates that nobody vouches for')
    .addHelpText(
      'after',
      `
Without references: of all images in the local store. Each line is a digest and the images it belongs to.
${examples(
  'cloudimg inventory > site.txt',
  'cloudimg inventory k3s:v1.31.4 > site.txt',
  'cloudimg inventory --remote registry.local:5000/k3s > site.txt',
)}`,
    )
    .action((references: string[], flags: InventoryFlags, command: Command) =>
      act(command, async session => (await import('../commands/inventory.ts')).inventory(session, references, flags)),
    )
}
