import type { Command } from 'commander'
import type { LoginFlags } from '../commands/login.ts'
import { type Act, examples } from '../options.ts'

const dockerHub = 'docker.io'

export function addLoginCommands(program: Command, act: Act): void {
  program
    .command('login [registry]')
    .description('keep a registry’s user name and password, where docker keeps them; Docker Hub’s unless told')
    .option('-u, --username <name>', 'user name; asked for unless told')
    .option('--password-stdin', 'read the password from stdin instead of asking for it')
    .option('--insecure', 'take plain http and certificates that nobody vouches for')
    .addHelpText(
      'after',
      examples('cloudimg login registry.local:5000', 'cat token | cloudimg login ghcr.io -u me --password-stdin'),
    )
    .action((registry: string | undefined, flags: LoginFlags, command: Command) =>
      act(command, async session =>
        (await import('../commands/login.ts')).login(session, registry ?? dockerHub, flags),
      ),
    )
  program
    .command('logout [registry]')
    .description('forget a registry’s password; Docker Hub’s unless told')
    .action((registry: string | undefined, _options, command: Command) =>
      act(command, async session => (await import('../commands/login.ts')).logout(session, registry ?? dockerHub)),
    )
}
