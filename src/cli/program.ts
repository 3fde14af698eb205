import { Command, InvalidArgumentError, Option } from 'commander'
import { readFileSync } from 'node:fs'
import { exitCodeMeanings } from './exit-code.ts'
import { onePlatform, parsePlatforms } from './image-argument.ts'
import { type GlobalOptions, runSession, type Session } from './session.ts'
import type { LoadFlags, SaveFlags } from './commands/archive.ts'
import type { BuildFlags } from './commands/build.ts'
import type { LockFlags } from './commands/lock.ts'
import type { LoginFlags } from './commands/login.ts'
import type { RunFlags } from './commands/run.ts'
import type { Terminal } from './terminal.ts'

/** What a command leaves behind for `main`: the exit code. */
export interface Outcome {
  code: number
}

type Action = (session: Session) => Promise<number | void>

/** Every command with its options, help and examples. Actions are loaded when they are used: start-up stays quick. */
export function createProgram(terminal: Terminal, outcome: Outcome): Command {
  const program = new Command('cloudimg')
    .description('Pack a whole Kubernetes cluster into one OCI image and deploy it where there is no internet.')
    .version(packageVersion(), '-V, --version')
    .addOption(
      new Option('--progress <mode>', 'how progress is shown')
        .choices(['auto', 'tty', 'plain', 'json'])
        .default('auto'),
    )
    .option('-q, --quiet', 'only warnings, errors and the answer')
    .option('--json', 'the answer as one JSON object')
    .option('--debug', 'stack traces with errors')
    .showHelpAfterError('(cloudimg --help shows what there is)')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: text => void terminal.stdout.write(text),
      writeErr: text => void terminal.stderr.write(text),
      getOutHelpWidth: () => terminal.stdout.columns ?? 80,
    })
    .addHelpText('after', exitCodeHelp)
  const act = async (command: Command, action: Action): Promise<void> => {
    outcome.code = await runSession(terminal, command.optsWithGlobals<GlobalOptions>(), action)
  }
  addImageCommands(program, act)
  addTransferCommands(program, act)
  addArchiveCommands(program, act)
  addLoginCommands(program, act)
  addBuildCommands(program, act)
  addRunCommands(program, act)
  for (const command of program.commands) command.exitOverride().copyInheritedSettings(program)
  return program
}

type Act = (command: Command, action: Action) => Promise<void>

const exitCodeHelp = `\nExit codes:\n${exitCodeMeanings.map(([code, meaning]) => `  ${String(code).padEnd(4)} ${meaning}`).join('\n')}\n`

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** An option that may be given several times; values gather in order. */
export function gather(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value]
}

export function positiveInteger(value: string): number {
  if (!/^[1-9]\d*$/.test(value)) throw new InvalidArgumentError('it must be a whole number from 1 on')
  return Number(value)
}

function portNumber(value: string): number {
  if (!/^\d{1,5}$/.test(value) || Number(value) > 65_535)
    throw new InvalidArgumentError('it must be a port, 0 to 65535')
  return Number(value)
}

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map(line => `  ${line}`).join('\n')}\n`
}

function addImageCommands(program: Command, act: Act): void {
  program
    .command('images')
    .description('list the images in the local store')
    .action((_options, command: Command) =>
      act(command, async session => (await import('./commands/images.ts')).images(session)),
    )
  program
    .command('inspect <reference>')
    .description('show index, manifests and configs as JSON')
    .option('--platform <platform>', 'only this platform')
    .addHelpText('after', examples('cloudimg inspect registry.local/k3s:v1.31.4 --platform linux/arm64'))
    .action((reference: string, options: { platform?: string }, command: Command) =>
      act(command, async session =>
        (await import('./commands/inspect.ts')).inspect(
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
        (await import('./commands/history.ts')).history(session, reference, onePlatform(options.platform)),
      ),
    )
  program
    .command('tag <source> <target>')
    .description('give an image another name')
    .addHelpText('after', examples('cloudimg tag k3s:v1.31.4 registry.local:5000/k3s:v1.31.4'))
    .action((source: string, target: string, _options, command: Command) =>
      act(command, async session => (await import('./commands/names.ts')).tag(session, source, target)),
    )
  program
    .command('rmi <references...>')
    .description('remove names from the local store')
    .action((references: string[], _options, command: Command) =>
      act(command, async session => (await import('./commands/names.ts')).removeImages(session, references)),
    )
  program
    .command('unpack <reference> <directory>')
    .description('write one platform’s tree as plain files')
    .option('--platform <platform>', 'the platform to unpack; this machine’s unless told')
    .addHelpText('after', examples('cloudimg unpack registry.local/k3s:v1.31.4 ./rootfs --platform linux/amd64'))
    .action((reference: string, directory: string, options: { platform?: string }, command: Command) =>
      act(command, async session =>
        (await import('./commands/unpack.ts')).unpack(session, reference, directory, onePlatform(options.platform)),
      ),
    )
}

interface TransferFlags {
  readonly platform?: readonly string[]
  readonly insecure?: boolean
  readonly concurrency?: number
}

function transferOptions(flags: TransferFlags) {
  return {
    platforms: parsePlatforms(flags.platform),
    insecure: flags.insecure === true,
    concurrency: flags.concurrency,
  }
}

function withTransferFlags(command: Command): Command {
  return command
    .option('--platform <platforms>', 'only these, separated by commas; all unless told', gather)
    .option('--insecure', 'take plain http and certificates that nobody vouches for')
    .option('--concurrency <number>', 'blobs under way at once (default: 4)', positiveInteger)
}

function addTransferCommands(program: Command, act: Act): void {
  withTransferFlags(program.command('push <reference> [target]').description('send an image to a registry'))
    .addHelpText(
      'after',
      examples('cloudimg push registry.local:5000/k3s:v1.31.4', 'cloudimg push k3s:v1.31.4 127.0.0.1:5000/k3s:v1.31.4'),
    )
    .action((reference: string, target: string | undefined, flags: TransferFlags, command: Command) =>
      act(command, async session =>
        (await import('./commands/transfer.ts')).push(session, reference, target, transferOptions(flags)),
      ),
    )
  withTransferFlags(program.command('pull <reference>').description('fetch an image from a registry'))
    .addHelpText('after', examples('cloudimg pull registry.local:5000/k3s:v1.31.4 --platform linux/arm64'))
    .action((reference: string, flags: TransferFlags, command: Command) =>
      act(command, async session =>
        (await import('./commands/transfer.ts')).pull(session, reference, transferOptions(flags)),
      ),
    )
}

function addArchiveCommands(program: Command, act: Act): void {
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
        (await import('./commands/archive.ts')).save(session, references, {
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
      act(command, async session => (await import('./commands/archive.ts')).load(session, flags)),
    )
}

function addLoginCommands(program: Command, act: Act): void {
  program
    .command('login <registry>')
    .description('keep a registry’s user name and password, where docker keeps them')
    .option('-u, --username <name>', 'user name; asked for unless told')
    .option('--password-stdin', 'read the password from stdin instead of asking for it')
    .option('--insecure', 'take plain http and certificates that nobody vouches for')
    .addHelpText(
      'after',
      examples('cloudimg login registry.local:5000', 'cat token | cloudimg login ghcr.io -u me --password-stdin'),
    )
    .action((registry: string, flags: LoginFlags, command: Command) =>
      act(command, async session => (await import('./commands/login.ts')).login(session, registry, flags)),
    )
  program
    .command('logout <registry>')
    .description('forget a registry’s password')
    .action((registry: string, _options, command: Command) =>
      act(command, async session => (await import('./commands/login.ts')).logout(session, registry)),
    )
}

function addBuildCommands(program: Command, act: Act): void {
  program
    .command('build [context]')
    .description('build a cluster image from a Kubefile')
    .option('-f, --file <path>', 'the Kubefile, - for stdin; Kubefile in the context unless told')
    .option('-t, --tag <reference>', 'name for the image, may be repeated', gather)
    .option('--platform <platforms>', 'build for these, separated by commas; this machine’s unless told', gather)
    .option('--build-arg <name=value>', 'value for an ARG, may be repeated', gather)
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
      new Option('--collect <when>', 'never: do not seal the container images that the tree names')
        .choices(['auto', 'never'])
        .default('auto'),
    )
    .option('--no-installer', 'leave scripts/cloudimg-node out of the image')
    .option('--target <stage>', 'the stage to build, by name or number; the last one unless told')
    .option('--pull', 'ask the registry for images that the lock does not pin, also where the store has them')
    .option('--plan', 'show what would be done, and do nothing')
    .addHelpText(
      'after',
      examples(
        'cloudimg build -t registry.local/k3s:v1.31.4 --platform linux/amd64,linux/arm64 .',
        'cloudimg build -f kubefiles/k3s/Kubefile --build-arg K3S_VERSION=v1.31.4+k3s1 -t k3s my-cluster/',
        'cloudimg build --mirror k3s=/mnt/releases --offline -t k3s .',
      ),
    )
    .action((context: string | undefined, flags: BuildFlags & { platform?: readonly string[] }, command: Command) =>
      act(command, async session =>
        (await import('./commands/build.ts')).build(session, context ?? '.', {
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
    .option('--mirror <from=to>', 'take files from elsewhere', gather)
    .option('--lock-file <path>', 'the lock; beside the Kubefile unless told')
    .option('--update <name>', 'look these up anew: a locator, a file name, a channel or a version', gather)
    .option('--prune', 'drop what is no longer used')
    .addHelpText('after', examples('cloudimg lock --update stable', 'cloudimg lock --update install.sh --prune'))
    .action((context: string | undefined, flags: LockFlags & { platform?: readonly string[] }, command: Command) =>
      act(command, async session =>
        (await import('./commands/lock.ts')).lock(session, context ?? '.', {
          ...flags,
          platforms: parsePlatforms(flags.platform),
        }),
      ),
    )
  program
    .command('serve')
    .description('serve the local store as a registry, until interrupted')
    .option('--host <address>', 'address to listen at', '127.0.0.1')
    .option('--port <number>', 'port to listen at, 0 for any', portNumber, 5000)
    .option('--read-only', 'refuse pushes', false)
    .addHelpText(
      'after',
      examples('cloudimg serve --port 5000', 'cloudimg push k3s:v1.31.4 127.0.0.1:5000/k3s:v1.31.4'),
    )
    .action((flags: { host: string; port: number; readOnly: boolean }, command: Command) =>
      act(command, async session => (await import('./commands/serve.ts')).serve(session, flags)),
    )
}

function addRunCommands(program: Command, act: Act): void {
  program
    .command('run <reference>')
    .description('deploy a cluster image: on this machine, or on hosts over ssh')
    .option('--servers <hosts>', 'control-plane hosts, [user@]host[:port], separated by commas', gather)
    .option('--agents <hosts>', 'worker hosts', gather)
    .addOption(new Option('--masters <hosts>', 'as --servers').argParser(gather).hideHelp())
    .addOption(new Option('--nodes <hosts>', 'as --agents').argParser(gather).hideHelp())
    .option('--node-ip <host=address>', 'address in the cluster, where it cannot be told', gather)
    .option('--tls-san <name>', 'further name or address in the server’s certificate', gather)
    .option('--fix <finding>', 'let the plan cure this: default-route', gather)
    .option('-F, --ssh-config <file>', 'ssh configuration; your own unless told')
    .option('-i, --identity <file>', 'ssh private key')
    .option('--accept-new-host-keys', 'trust hosts that known_hosts does not know')
    .option('--ask-password', 'ask for the ssh password')
    .option('--ask-sudo-password', 'ask for the sudo password')
    .option('--timeout <seconds>', 'for one node to come up (default: 900)', positiveInteger)
    .option('--concurrency <number>', 'hosts worked on at once (default: 10)', positiveInteger)
    .option('--pull', 'take the image from its registry, also where the store has it')
    .option('--dry-run', 'show every step, change nothing')
    .option('--exit-code', 'with --dry-run: exit with 9 where something would change')
    .addOption(new Option('--allow-stand-in', 'deploy the k3s of the tests, which runs nothing').hideHelp())
    .addHelpText(
      'after',
      examples(
        'cloudimg run k3s:v1.31.4',
        'cloudimg run k3s:v1.31.4 --servers root@10.0.0.1 --agents 10.0.0.2,10.0.0.3 --dry-run',
        'cloudimg run k3s:v1.31.4 --servers 10.0.0.1 --fix default-route',
      ),
    )
    .action(
      (
        reference: string,
        flags: RunFlags & { masters?: readonly string[]; nodes?: readonly string[] },
        command: Command,
      ) =>
        act(command, async session =>
          (await import('./commands/run.ts')).run(session, reference, {
            ...flags,
            servers: [...(flags.servers ?? []), ...(flags.masters ?? [])],
            agents: [...(flags.agents ?? []), ...(flags.nodes ?? [])],
          }),
        ),
    )
}
