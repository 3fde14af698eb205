import type { Command } from 'commander'
import { parsePlatforms } from '../image-argument.ts'
import { type Act, examples, gather, positiveInteger } from '../options.ts'

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

export function addTransferCommands(program: Command, act: Act): void {
  withTransferFlags(program.command('push <reference> [target]').description('send an image to a registry'))
    .addHelpText(
      'after',
      examples('cloudimg push registry.local:5000/k3s:v1.31.4', 'cloudimg push k3s:v1.31.4 127.0.0.1:5000/k3s:v1.31.4'),
    )
    .action((reference: string, target: string | undefined, flags: TransferFlags, command: Command) =>
      act(command, async session =>
        (await import('../commands/transfer.ts')).push(session, reference, target, transferOptions(flags)),
      ),
    )
  withTransferFlags(program.command('pull <reference>').description('fetch an image from a registry'))
    .addHelpText('after', examples('cloudimg pull registry.local:5000/k3s:v1.31.4 --platform linux/arm64'))
    .action((reference: string, flags: TransferFlags, command: Command) =>
      act(command, async session =>
        (await import('../commands/transfer.ts')).pull(session, reference, transferOptions(flags)),
      ),
    )
}
