import { type Command, Option } from 'commander'
import { CloudimgError } from '../core/error.ts'
import type { ClusterChoice } from '../deploy/discover.ts'
import type { ReachOptions } from '../deploy/options.ts'
import type { SshOptions } from '../host/openssh.ts'
import { positiveInteger } from './options.ts'
import { askSecret } from './secret-input.ts'
import type { Session } from './session.ts'

/** How machines are reached: what every command that works on hosts takes. */
export interface ReachFlags {
  readonly sshConfig?: string
  readonly identity?: string
  readonly acceptNewHostKeys?: boolean
  readonly askPassword?: boolean
  readonly askSudoPassword?: boolean
  readonly timeout?: number
  readonly concurrency?: number
}

export function addReachOptions(command: Command): Command {
  return command
    .option('-F, --ssh-config <file>', 'ssh configuration; your own unless told')
    .option('-i, --identity <file>', 'ssh private key')
    .option('--accept-new-host-keys', 'trust hosts that known_hosts does not know')
    .option('--ask-password', 'ask for the ssh password')
    .option('--ask-sudo-password', 'ask for the sudo password')
    .option('--timeout <seconds>', 'for one node to come up (default: 900)', positiveInteger)
    .option('--concurrency <number>', 'hosts worked on at once (default: 10)', positiveInteger)
}

/** Which cluster is meant. */
export interface ChoiceFlags {
  readonly server?: string
  readonly cluster?: string
}

export function addChoiceOptions(command: Command): Command {
  return command
    .option('--server <host>', 'any server of the cluster, [user@]host[:port]')
    .option('--cluster <id>', 'the cluster, where several are known here (ids: cloudimg status)')
}

export function choiceOf({ server, cluster }: ChoiceFlags): ClusterChoice {
  return { ...(server === undefined ? {} : { server }), ...(cluster === undefined ? {} : { cluster }) }
}

/** How an action is carried out: what every command that changes a cluster takes. */
export interface ActionFlags {
  readonly dryRun?: boolean
  readonly exitCode?: boolean
  readonly undo?: boolean
}

export function addPlanOptions(command: Command): Command {
  return command
    .option('--dry-run', 'show every step, change nothing')
    .option('--exit-code', 'with --dry-run: exit with 9 where something would change')
}

export function addActionOptions(command: Command): Command {
  return addPlanOptions(command).option('--undo', 'take back what this very command did before it was cut off')
}

/** For commands that bring an image to several hosts. */
export function fanoutOption(): Option {
  return new Option('--fanout', 'let hosts pass the image’s files on to each other (docs/distribution.md)')
}

/** For tests: the k3s that runs nothing. */
export function standInOption(): Option {
  return new Option('--allow-stand-in', 'deploy the k3s of the tests, which runs nothing').hideHelp()
}

export async function reachOf(session: Session, flags: ReachFlags): Promise<Pick<ReachOptions, 'ssh' | 'limits'>> {
  const { timeout, concurrency } = flags
  return {
    ssh: await sshOptions(session, flags),
    limits: {
      ...(timeout === undefined ? {} : { timeoutSeconds: timeout }),
      ...(concurrency === undefined ? {} : { concurrency }),
    },
  }
}

async function sshOptions({ terminal }: Session, flags: ReachFlags): Promise<SshOptions> {
  const password =
    flags.askPassword === true ? await askSecret(terminal, 'ssh password', 'a key and --identity') : undefined
  const sudoPassword =
    flags.askSudoPassword === true
      ? await askSecret(terminal, 'sudo password', 'a user with passwordless sudo')
      : undefined
  return {
    ...(flags.sshConfig === undefined ? {} : { configFile: flags.sshConfig }),
    ...(flags.identity === undefined ? {} : { identityFile: flags.identity }),
    ...(flags.acceptNewHostKeys === true ? { acceptNewHostKeys: true } : {}),
    ...(password === undefined ? {} : { password }),
    ...(sudoPassword === undefined ? {} : { sudoPassword }),
  }
}

/** Values that may be given several times, or separated by commas. */
export function listOf(values: readonly string[] | undefined): readonly string[] {
  return (values ?? [])
    .flatMap(value => value.split(','))
    .map(value => value.trim())
    .filter(value => value !== '')
}

/** `HOST=ADDRESS` pairs. @throws USAGE */
export function nodeIpsOf(values: readonly string[] | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(
    listOf(values).map(pair => {
      const equals = pair.indexOf('=')
      if (equals <= 0)
        throw new CloudimgError('USAGE', `reading --node-ip "${pair}": no host`, { hint: 'write HOST=ADDRESS' })
      return [pair.slice(0, equals), pair.slice(equals + 1)]
    }),
  )
}
