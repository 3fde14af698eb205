import type { Command } from 'commander'
import type { FormatFlags } from '../commands/format.ts'
import type { LintFlags } from '../commands/lint.ts'
import type { ParseFlags } from '../commands/parse.ts'
import { type Act, examples, gather } from '../options.ts'

const fileOption = ['-f, --file <path>', 'the Kubefile, - for stdin; Kubefile in the context unless told'] as const

export function addKubefileCommands(program: Command, act: Act): void {
  program
    .command('lint [context]')
    .description('say what is wrong or doubtful in a Kubefile, its context and its lock')
    .option(...fileOption)
    .option('--fix', 'mend in the file what can be mended without changing what is built')
    .option('--strict', 'warnings count: exit code 3')
    .option('--build-arg <name=value>', 'value for an ARG, may be repeated', gather)
    .option('--target <stage>', 'the stage that is built; the last one unless told')
    .option('--lock-file <path>', 'the lock; beside the Kubefile unless told')
    .addHelpText(
      'after',
      examples(
        'cloudimg lint',
        'cloudimg lint -f kubefiles/k3s/Kubefile --strict my-cluster/',
        'cloudimg lint --fix',
        'cloudimg lint --json',
      ),
    )
    .action((context: string | undefined, flags: LintFlags, command: Command) =>
      act(command, async session => (await import('../commands/lint.ts')).lint(session, context ?? '.', flags)),
    )
  program
    .command('fmt [context]')
    .description('write a Kubefile in canonical form; its meaning and its comments stay')
    .option(...fileOption)
    .option('--check', 'only say whether it is in that form: exit code 9 where it is not')
    .option('--write', 'write it in its place instead of to stdout')
    .addHelpText('after', examples('cloudimg fmt', 'cloudimg fmt --check', 'cloudimg fmt --write -f Kubefile'))
    .action((context: string | undefined, flags: FormatFlags, command: Command) =>
      act(command, async session => (await import('../commands/format.ts')).format(session, context ?? '.', flags)),
    )
  program
    .command('parse [context]')
    .description('show how a Kubefile is understood; with --json as its whole syntax tree')
    .option(...fileOption)
    .addHelpText('after', examples('cloudimg parse', 'cloudimg parse --json -f Kubefile'))
    .action((context: string | undefined, flags: ParseFlags, command: Command) =>
      act(command, async session => (await import('../commands/parse.ts')).parse(session, context ?? '.', flags)),
    )
}
