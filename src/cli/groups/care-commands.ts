import type { Command } from 'commander'
import type { CheckFlags, RenewFlags } from '../commands/care.ts'
import type { CollectFlags } from '../commands/collect.ts'
import { type Act, examples, positiveInteger } from '../options.ts'
import {
  type ActionFlags,
  addChoiceOptions,
  addPlanOptions,
  addReachOptions,
  type ChoiceFlags,
} from '../reach-options.ts'

const load = () => import('../commands/care.ts')

/** Commands that look after a cluster that runs. */
export function addCareCommands(program: Command, act: Act): void {
  addCert(program, act)
  addImport(program, act)
  addCollect(program, act)
}

function addCert(program: Command, act: Act): void {
  const cert = program.command('cert').description('certificates of the nodes: how long they last, and new ones')
  addReachOptions(
    addChoiceOptions(cert.command('check').description('how many days every certificate of every node has left')),
  )
    .option('--days <number>', 'exit with 9 where one has fewer left (default: 90)', positiveInteger)
    .addHelpText('after', examples('cloudimg cert check', 'cloudimg cert check --days 30 --json'))
    .action((flags: CheckFlags, command: Command) =>
      act(command, async session => (await load()).certCheck(session, flags)),
    )
  const renew = cert
    .command('renew')
    .description('renew those that end soon by restarts: servers one at a time, then agents')
    .option('--rotate', 'make all of them anew, whatever time they have left')
    .option('--max-unavailable <number>', 'agents restarted at once (default: 1)', positiveInteger)
    .option('--yes', 'do not ask')
  addPlanOptions(addReachOptions(addChoiceOptions(renew)))
    .addHelpText(
      'after',
      `
k3s renews what has less than 90 days left whenever it starts, 120 days from the releases of May 2025 on. Authorities are
not renewed. Your kubeconfig is fetched anew at the end; copies of it elsewhere end with the old certificate.
${examples('cloudimg cert renew --dry-run', 'cloudimg cert renew --yes', 'cloudimg cert renew --rotate --yes')}`,
    )
    .action((flags: RenewFlags, command: Command) =>
      act(command, async session => (await load()).certRenew(session, flags)),
    )
}

function addImport(program: Command, act: Act): void {
  const command = program
    .command('import')
    .description('give nodes the container images back that they lack, from what lies on them')
  addPlanOptions(addReachOptions(addChoiceOptions(command)))
    .addHelpText('after', examples('cloudimg import --dry-run', 'cloudimg import'))
    .action((flags: ActionFlags & ChoiceFlags, command: Command) =>
      act(command, async session => (await load()).importMissing(session, flags)),
    )
}

function addCollect(program: Command, act: Act): void {
  const command = program
    .command('collect')
    .description('write a support bundle: journals, state and configuration of every host, secrets taken out')
    .option('-o, --output <file>', 'where to, .tar.gz or .tar.zst (default: cloudimg-support-TIME.tar.gz)')
    .option('--since <time>', 'journals from then on: 30m, 24h, 7d or a day (default: 24h)')
  addReachOptions(addChoiceOptions(command))
    .addHelpText(
      'after',
      `
Hosts that do not answer are listed in it. Where no server answers the operator's own list of hosts is used.
${examples('cloudimg collect', 'cloudimg collect --since 7d -o support.tar.zst', 'cloudimg collect --server 10.0.0.1')}`,
    )
    .action((flags: CollectFlags, command: Command) =>
      act(command, async session => (await import('../commands/collect.ts')).collect(session, flags)),
    )
}
