import { type Command, Option } from 'commander'
import type { BuildFlags } from '../commands/build.ts'
import type { LockFlags } from '../commands/lock.ts'
import { executorNames } from '../../build/executor/executor.ts'
import { parsePlatforms } from '../image-argument.ts'
import { type Act, examples, gather } from '../options.ts'

const contextHelp = `
The context is a directory (. unless told), a tar archive, the URL of one, a git repository as REMOTE.git#ref:directory,
or - for standard input. What comes from a URL or standard input and is no archive is taken for the Kubefile itself.
`

export function addBuildCommands(program: Command, act: Act): void {
  program
    .command('build [context]')
    .description('build a cluster image from a Kubefile')
    .addHelpText('after', contextHelp)
    .option('-f, --file <path>', 'the Kubefile, - for stdin; Kubefile in the context unless told')
    .option('-t, --tag <reference>', 'name for the image, may be repeated', gather)
    .option('--platform <platforms>', 'build for these, separated by commas; this machine’s unless told', gather)
    .option('--build-arg <name=value>', 'value for an ARG, may be repeated', gather)
    .option(
      '--build-context <name=place>',
      'what COPY --from=NAME and FROM NAME mean: a path, a URL, docker-image://REF, oci-layout://PATH:TAG; may be repeated',
      gather,
    )
    .option('--label <name=value>', 'a label for the image, may be repeated', gather)
    .option(
      '--annotation <name=value>',
      'an annotation for the manifests, or where a prefix says: index:, manifest[PLATFORM]:; may be repeated',
      gather,
    )
    .option('--mirror <from=to>', 'take files from elsewhere: a URL prefix, or TEMPLATE=DIRECTORY-OR-URL', gather)
    .option('--lock-file <path>', 'the lock; beside the Kubefile unless told')
    .option('--locked', 'refuse what the lock does not know, or knows otherwise')
    .option('--offline', 'open no network connection')
    .addOption(
      new Option('--compression <kind>', 'for layers that shrink; gzip where docker before 23 or umoci shall pull them')
        .choices(['zstd', 'gzip', 'none'])
        .default('zstd'),
    )
    .addOption(
      new Option('--collect <when>', 'never: do not bring along the container images that the tree names')
        .choices(['auto', 'never'])
        .default('auto'),
    )
    .option('--allow-unresolved', 'build although container images cannot be had or looked for; Metadata says so')
    .option('--prove', 'name the image only if cloudimg prove finds nothing missing')
    .option('--no-installer', 'leave scripts/cloudimg-node out of the image')
    .option('--target <stage>', 'the stage to build, by name or number; the last one unless told')
    .option('--pull', 'ask the registry for images that the lock does not pin, also where the store has them')
    .option(
      '--secret <id=name,src=path>',
      'a secret for RUN --mount=type=secret, or id=NAME,env=VARIABLE; may be repeated',
      gather,
    )
    .option(
      '--executor <name>',
      `what runs RUN: ${executorNames.join(', ')}; the first that works here but chroot unless told`,
    )
    .option(
      '--toolbox <image>',
      'an image whose programs RUN uses where the tree has no shell; this machine’s unless told',
    )
    .option('--no-cache', 'make every layer anew')
    .addOption(
      new Option('--no-cache-filter <stages>', 'make the layers of these stages anew, separated by commas')
        .argParser(gather)
        // Without one commander takes the name for the opposite of --cache-filter, whose default is true.
        .default([], 'none'),
    )
    .option(
      '-o, --output <place>',
      'also write the tree or an archive: DIR, - or type=local|tar|oci,dest=PATH; may be repeated',
      gather,
    )
    .option('--iidfile <path>', 'write the digest of the index to this file')
    .option('--metadata-file <path>', 'write what was built to this file as JSON')
    .option('--plan', 'show what would be done, and do nothing')
    .addHelpText(
      'after',
      examples(
        'cloudimg build -t registry.local/k3s:v1.31.4 --platform linux/amd64,linux/arm64 .',
        'cloudimg build -f kubefiles/k3s/Kubefile --build-arg K3S_VERSION=v1.31.4+k3s1 -t k3s my-cluster/',
        'cloudimg build --mirror k3s=/mnt/releases --offline -t k3s .',
        'cloudimg build --secret id=token,src=token.txt --toolbox alpine:3.20 -t k3s .',
        'cloudimg build -t k3s https://git.example.com/cluster.git#v1.2:edge',
        'tar c . | cloudimg build -f deploy/Kubefile -t k3s -',
        'cloudimg build --build-context charts=../charts --label team=edge -o type=oci,dest=k3s.tar .',
      ),
    )
    .action((context: string | undefined, flags: BuildFlags & { platform?: readonly string[] }, command: Command) =>
      act(command, async session =>
        (await import('../commands/build.ts')).build(session, context ?? '.', {
          ...flags,
          platforms: parsePlatforms(flags.platform),
        }),
      ),
    )
  program
    .command('lock [context]')
    .description('pin what a build takes from outside, and show what changed')
    .option('-f, --file <path>', 'the Kubefile; Kubefile in the context unless told')
    .option('--platform <platforms>', 'for these, separated by commas; this machine’s unless told', gather)
    .option('--build-arg <name=value>', 'value for an ARG, may be repeated', gather)
    .option('--build-context <name=place>', 'as in build, may be repeated', gather)
    .option('--mirror <from=to>', 'take files from elsewhere', gather)
    .option('--lock-file <path>', 'the lock; beside the Kubefile unless told')
    .option('--update <name>', 'look these up anew: a locator, a file name, a channel or a version', gather)
    .option('--prune', 'drop what is no longer used')
    .addHelpText('after', examples('cloudimg lock --update stable', 'cloudimg lock --update install.sh --prune'))
    .action((context: string | undefined, flags: LockFlags & { platform?: readonly string[] }, command: Command) =>
      act(command, async session =>
        (await import('../commands/lock.ts')).lock(session, context ?? '.', {
          ...flags,
          platforms: parsePlatforms(flags.platform),
        }),
      ),
    )
}
