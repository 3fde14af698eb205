import type { Command } from 'commander'
import { type Act, examples, portNumber } from '../options.ts'

export function addServeCommand(program: Command, act: Act): void {
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
      act(command, async session => (await import('../commands/serve.ts')).serve(session, flags)),
    )
}
