import type { Command } from 'commander'
import type { Platform } from '../../core/platform.ts'
import { onePlatform } from '../image-argument.ts'
import type { NodeFlags } from '../commands/run.ts'
import { type Act, examples } from '../options.ts'
import { addReachOptions, standInOption } from '../reach-options.ts'

export function addProveCommands(program: Command, act: Act): void {
  program
    .command('explain <reference>')
    .description('show what is inside an image, and which line or file asked for it')
    .option('--platform <platform>', 'only this platform')
    .addHelpText(
      'after',
      examples(
        'cloudimg explain registry.local/k3s:v1.31.4',
        'cloudimg explain k3s --platform linux/arm64 --json | jq ".platforms[0].images"',
      ),
    )
    .action((reference: string, flags: { platform?: string }, command: Command) =>
      act(command, async session =>
        (await import('../commands/explain.ts')).explain(session, reference, wished(flags.platform)),
      ),
    )
  addReachOptions(
    program
      .command('diff [a] [b]')
      .description(
        'show what changed between two images, and what an upgrade would ship; or how a cluster differs from its Clusterfile',
      )
      .option('--platform <platform>', 'only this platform')
      .option('--exit-code', 'exit with 9 where they differ')
      .option('-f, --file <clusterfile>', 'show what applying it would do, and what has drifted on its hosts'),
  )
    .addOption(standInOption())
    .addHelpText(
      'after',
      examples(
        'cloudimg diff registry.local/k3s:v1.31.4 registry.local/k3s:v1.32.1',
        'cloudimg diff --exit-code --platform linux/amd64 k3s:old k3s:new',
        'cloudimg diff -f Clusterfile --exit-code',
      ),
    )
    .action(
      (
        a: string | undefined,
        b: string | undefined,
        flags: NodeFlags & { platform?: string; exitCode?: boolean; file?: string },
        command: Command,
      ) =>
        act(command, async session => {
          const { file } = flags
          if (file !== undefined)
            return await (await import('../commands/apply.ts')).diffFile(session, a, { ...flags, file })
          return await (
            await import('../commands/diff.ts')
          ).diff(session, a, b, { ...flags, platform: wished(flags.platform) })
        }),
    )
  program
    .command('prove <reference>')
    .description('show that a cluster image needs nothing from outside, or what it lacks')
    .option('--platform <platform>', 'only this platform')
    .addHelpText(
      'after',
      `
The image is deployed in thought on hosts that reach nobody: container images, URLs in scripts, pull policies, and files
that the installer, scripts and applications use. Exit code 0: proven; 1: something is missing.
${examples('cloudimg prove registry.local/k3s:v1.31.4', 'cloudimg prove k3s --json | jq ".platforms[].gaps"')}`,
    )
    .action((reference: string, flags: { platform?: string }, command: Command) =>
      act(command, async session =>
        (await import('../commands/prove.ts')).prove(session, reference, wished(flags.platform)),
      ),
    )
}

function wished(platform: string | undefined): Platform | undefined {
  return platform === undefined ? undefined : onePlatform(platform)
}
