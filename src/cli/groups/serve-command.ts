import type { Command } from 'commander'
import type { ServeFlags } from '../commands/serve.ts'
import { type Act, examples, portNumber } from '../options.ts'

export function addServeCommand(program: Command, act: Act): void {
  program
    .command('serve')
    .description('serve the local store as a registry, until interrupted')
    .option('--host <address>', 'address to listen at; 0.0.0.0 for all', '127.0.0.1')
    .option('--port <number>', 'port to listen at, 0 for any', portNumber, 5000)
    .option('--read-only', 'refuse pushes and deletions', false)
    .option('--htpasswd <file>', 'ask for a name and password of this file (bcrypt, as htpasswd -B writes it)')
    .option('--tls-cert <file>', 'serve by https: the certificate, with its chain, as PEM')
    .option('--tls-key <file>', 'the certificate’s key, as PEM')
    .addHelpText(
      'after',
      `
Images named HOST:PORT/NAME are served as NAME; those of another registry by their full
name: HOST:PORT/registry.local/k3s:v1, or as a mirror of registry.local.
The first Ctrl-C lets clients finish what they began, the second ends at once.
${examples(
  'cloudimg serve --port 5000',
  'cloudimg push k3s:v1.31.4 127.0.0.1:5000/k3s:v1.31.4',
  'cloudimg serve --host 10.0.0.5 --htpasswd users --tls-cert site.pem --tls-key site.key',
)}`,
    )
    .action((flags: ServeFlags, command: Command) =>
      act(command, async session => (await import('../commands/serve.ts')).serve(session, flags)),
    )
}
