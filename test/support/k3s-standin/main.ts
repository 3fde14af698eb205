import { basename } from 'node:path'
import { Exit, Fatal, log, reasonOf, unknownToStandIn } from './log.ts'
import { profile, versionText } from './version.ts'

type Command = (argv: readonly string[]) => Promise<void>

const commands: Readonly<Record<string, () => Promise<Command>>> = {
  server: async () => (await import('./server-command.ts')).runServer,
  agent: async () => (await import('./agent-command.ts')).runAgent,
  kubectl: async () => (await import('./kubectl.ts')).runKubectl,
  crictl: async () => (await import('./crictl.ts')).runCrictl,
  'etcd-snapshot': async () => (await import('./etcd-snapshot.ts')).runEtcdSnapshot,
  ...(profile.rotatesCertificates
    ? { certificate: async () => (await import('./certificate-command.ts')).runCertificate }
    : {}),
  ctr: async () => (await import('./ctr.ts')).runCtr,
}

/** Known to the real k3s, not here (yet). */
const realCommands = ['token', 'secrets-encrypt', 'check-config', 'completion']

const usage = `NAME:
   k3s - Kubernetes, but small and simple (stand-in for tests)

COMMANDS:
   ${Object.keys(commands).join(', ')}
`

/** The invoked name decides first: kubectl, crictl and ctr are links to k3s. */
async function main(invokedAs: string, argv: readonly string[]): Promise<void> {
  const name = basename(invokedAs)
  const isLink = ['kubectl', 'crictl', 'ctr'].includes(name)
  const [word, ...rest] = isLink ? [name, ...argv] : argv
  if (word === undefined || word === 'help' || word === '--help' || word === '-h')
    return void process.stdout.write(usage)
  if (word === '--version' || word === '-v') return void process.stdout.write(versionText)
  const command = commands[word]
  if (command !== undefined) return await (await command())(rest)
  if (realCommands.includes(word)) throw unknownToStandIn(`"k3s ${word}"`)
  throw new Exit(3, `No help topic for '${word}'`)
}

function end(error: unknown): never {
  if (error instanceof Exit) {
    if (error.message !== '') process.stderr.write(`${error.message}\n`)
    process.exit(error.code)
  }
  log(
    'fatal',
    error instanceof Fatal ? error.message : `stand-in: ${error instanceof Error ? error.stack : reasonOf(error)}`,
  )
  process.exit(1)
}

// k3s calls being stopped a failure, and systemd shows the unit as failed. (seen on v1.21.2)
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    log('fatal', 'Interrupted')
    process.exit(1)
  })
}
process.on('uncaughtException', end)
try {
  await main(process.env['K3S_STANDIN_NAME'] ?? 'k3s', process.argv.slice(2))
} catch (error) {
  end(error)
}
