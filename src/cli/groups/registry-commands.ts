import { Argument, type Command } from 'commander'
import type { CopyFlags } from '../commands/copy.ts'
import type { ValidateFlags } from '../commands/validate.ts'
import { shells, type Shell } from '../completion-scripts.ts'
import { onePlatform, parsePlatforms } from '../image-argument.ts'
import { type Act, examples, gather, positiveInteger } from '../options.ts'
import type { ImageFlags } from '../registry-image.ts'

const insecure = ['--insecure', 'take plain http and certificates that nobody vouches for'] as const
const local = ['--local', 'look into the local store instead of the registry'] as const

/** Commands that work on images where they lie, mostly without the local store. */
export function addRegistryCommands(program: Command, act: Act): void {
  addCopy(program, act)
  addTags(program, act)
  addLooks(program, act)
  addReferrers(program, act)
  addValidate(program, act)
  addAnnotate(program, act)
  addCompletion(program, act)
}

type CopyArguments = Omit<CopyFlags, 'platforms'> & { readonly platform?: readonly string[] }

function addCopy(program: Command, act: Act): void {
  program
    .command('copy <from> <to>')
    .description('copy an image from one registry to another, all platforms, signatures and SBOMs included')
    .option('--platform <platforms>', 'only these, separated by commas; all unless told', gather)
    .option('--all-tags', 'every tag of a repository')
    .option('--no-referrers', 'leave signatures and SBOMs behind')
    .option(...insecure)
    .option('--concurrency <number>', 'blobs under way at once (default: 4)', positiveInteger)
    .addHelpText(
      'after',
      examples(
        'cloudimg copy ghcr.io/acme/k3s:v1.31.4 registry.local:5000/k3s:v1.31.4',
        'cloudimg copy --all-tags registry.local/k3s backup.local/k3s',
      ),
    )
    .action((from: string, to: string, flags: CopyArguments, command: Command) =>
      act(command, async session =>
        (await import('../commands/copy.ts')).copy(session, from, to, {
          ...flags,
          platforms: parsePlatforms(flags.platform),
        }),
      ),
    )
}

function addTags(program: Command, act: Act): void {
  program
    .command('tags <repository>')
    .description('list the tags of a repository in a registry')
    .option(...insecure)
    .addHelpText('after', examples('cloudimg tags registry.local:5000/k3s'))
    .action((repository: string, flags: { insecure?: boolean }, command: Command) =>
      act(command, async session => (await import('../commands/look.ts')).tags(session, repository, flags)),
    )
}

type LookArguments = ImageFlags & { readonly platform?: string }

function platformOf(flags: LookArguments) {
  return { ...flags, platform: flags.platform === undefined ? undefined : onePlatform(flags.platform) }
}

function addLooks(program: Command, act: Act): void {
  program
    .command('digest <reference>')
    .description('print the digest that a name stands for')
    .option('--platform <platform>', 'of this platform’s manifest; of the index unless told')
    .option('--full-ref', 'with registry and repository before it')
    .option(...insecure)
    .option(...local)
    .addHelpText('after', examples('cloudimg digest registry.local:5000/k3s:v1.31.4 --platform linux/arm64'))
    .action((reference: string, flags: LookArguments & { fullRef?: boolean }, command: Command) =>
      act(command, async session =>
        (await import('../commands/look.ts')).digest(session, reference, { ...flags, ...platformOf(flags) }),
      ),
    )
  program
    .command('manifest <reference>')
    .description('print an index or manifest, byte for byte as the registry has it')
    .option('--platform <platform>', 'this platform’s manifest; the index unless told')
    .option(...insecure)
    .option(...local)
    .addHelpText('after', examples('cloudimg manifest registry.local:5000/k3s:v1.31.4 | sha256sum'))
    .action((reference: string, flags: LookArguments, command: Command) =>
      act(command, async session =>
        (await import('../commands/look.ts')).manifest(session, reference, platformOf(flags)),
      ),
    )
  program
    .command('config <reference>')
    .description('print an image’s config, byte for byte as the registry has it')
    .option('--platform <platform>', 'the platform to look at; this machine’s unless told')
    .option(...insecure)
    .option(...local)
    .addHelpText('after', examples('cloudimg config registry.local:5000/k3s:v1.31.4 --platform linux/arm64'))
    .action((reference: string, flags: LookArguments, command: Command) =>
      act(command, async session =>
        (await import('../commands/look.ts')).config(session, reference, platformOf(flags)),
      ),
    )
}

function addReferrers(program: Command, act: Act): void {
  program
    .command('referrers <reference>')
    .description('list signatures, SBOMs and whatever else is about an image')
    .option('--artifact-type <type>', 'only these')
    .option('--platform <platform>', 'about this platform’s manifest; about the index unless told')
    .option(...insecure)
    .option(...local)
    .addHelpText(
      'after',
      examples('cloudimg referrers registry.local:5000/k3s:v1.31.4 --artifact-type application/spdx+json'),
    )
    .action((reference: string, flags: LookArguments & { artifactType?: string }, command: Command) =>
      act(command, async session =>
        (await import('../commands/look.ts')).referrers(session, reference, { ...flags, ...platformOf(flags) }),
      ),
    )
}

function addValidate(program: Command, act: Act): void {
  program
    .command('validate <reference>')
    .description('read all of an image and hold it against its digests; exit code 5 where it is not sound')
    .option('--fast', 'read the documents alone, and only ask for the blobs')
    .option(...insecure)
    .option(...local)
    .option('--concurrency <number>', 'blobs read at once (default: 4)', positiveInteger)
    .addHelpText('after', examples('cloudimg validate registry.local:5000/k3s:v1.31.4'))
    .action((reference: string, flags: ValidateFlags, command: Command) =>
      act(command, async session => (await import('../commands/validate.ts')).validate(session, reference, flags)),
    )
}

interface AnnotateArguments {
  readonly insecure?: boolean
  readonly all?: boolean
  readonly platform?: readonly string[]
  readonly tag?: string
}

function addAnnotate(program: Command, act: Act): void {
  program
    .command('annotate <reference> <annotations...>')
    .description('set annotations in a registry; the tag moves to the new document')
    .option('--platform <platforms>', 'on these platforms’ manifests instead of the index', gather)
    .option('--all', 'on the index and on every manifest')
    .option('-t, --tag <tag>', 'name the result so, and leave the old tag where it is')
    .option(...insecure)
    .addHelpText(
      'after',
      examples(
        'cloudimg annotate registry.local/k3s:v1 org.opencontainers.image.vendor=Acme',
        'cloudimg annotate registry.local/k3s:v1 org.opencontainers.image.vendor- --all --tag v1-plain',
      ),
    )
    .action((reference: string, annotations: string[], flags: AnnotateArguments, command: Command) =>
      act(command, async session =>
        (await import('../commands/annotate.ts')).annotate(session, reference, annotations, {
          ...flags,
          platforms: parsePlatforms(flags.platform),
        }),
      ),
    )
}

function addCompletion(program: Command, act: Act): void {
  program
    .command('completion')
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(shells))
    .description('print what makes a shell complete commands, flags and image names')
    .addHelpText('after', examples('source <(cloudimg completion bash)', 'cloudimg completion fish | source'))
    .action((shell: Shell, _options, command: Command) =>
      act(command, async session => (await import('../commands/completion.ts')).printCompletion(session, shell)),
    )
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .description('candidates for the last word, for the scripts of `cloudimg completion`')
    .action((words: string[], _options, command: Command) =>
      act(command, async session => (await import('../commands/completion.ts')).complete(session, program, words)),
    )
}
