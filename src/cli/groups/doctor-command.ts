import type { Command } from 'commander'
import { type Act, examples } from '../options.ts'

export function addDoctorCommand(program: Command, act: Act): void {
  program
    .command('doctor')
    .description('try what can run RUN on this machine, and say why the rest cannot')
    .addHelpText('after', examples('cloudimg doctor', 'cloudimg doctor --json | jq .executors'))
    .action((_: object, command: Command) =>
      act(command, async session => (await import('../commands/doctor.ts')).doctor(session)),
    )
}
