import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { run } from '../io/exec.ts'
import type { HostAddress } from './address.ts'
import { quoteArgv } from './quote.ts'
import { type ExecResult, fixedEnvironment, type Shell, type ShellRun } from './shell.ts'
import { classifySshFailure } from './ssh-errors.ts'
import { asRoot, findSudo } from './sudo.ts'

export interface SshOptions {
  /** ssh's `-F`; the user's own configuration unless told. */
  readonly configFile?: string
  readonly identityFile?: string
  /** `[user@]host[:port]` to go through, ssh's `-J`; as the configuration says unless told. */
  readonly jump?: string
  /** Unknown host keys are written to known_hosts instead of refused. A changed key is refused all the same. */
  readonly acceptNewHostKeys?: boolean
  /** For ssh, through askpass. */
  readonly password?: string
  /** For sudo, through its stdin; the ssh password unless told. */
  readonly sudoPassword?: string
  /** 10 unless told. */
  readonly connectTimeoutSeconds?: number
}

/** ssh's own failures have this exit code, and nothing else has: the remote side turns a program's 255 into 254. */
const sshFailed = 255

/**
 * A machine through the system's ssh: the user's configuration, agent, jump hosts and known_hosts apply.
 * One master connection carries everything; its socket lies in a directory that only we can enter.
 * @throws HOST_UNREACHABLE (`data.reason`), HOST_KEY_CHANGED, HOST_UNSUITABLE when root cannot be had.
 */
export async function connectSsh(address: HostAddress, options: SshOptions, ctx: Context): Promise<Shell> {
  const directory = await mkdtemp(join(socketParent(), 'cloudimg-ssh-'))
  try {
    const ssh = await prepareSsh(address, options, directory, ctx)
    const hello = await ssh(['sh', '-c', 'id -u; echo "$SSH_CONNECTION"'], {}, ctx)
    const [uid, connection] = hello.stdout.split('\n')
    if (hello.code !== 0 || !/^\d+$/.test(uid ?? '')) throw noPosixShell(address.name, hello)
    const password = options.sudoPassword ?? options.password
    const sudo = await findSudo(address.name, Number(uid), password, (argv, options) => ssh(argv, options, ctx))
    const arrivedAt = connection?.split(' ')[2]
    return {
      name: address.name,
      ...(arrivedAt === undefined ? {} : { arrivedAt }),
      run(argv, options, ctx) {
        const root = asRoot(sudo, [...fixedEnvironment, ...argv], options)
        return ssh(root.argv, root, ctx)
      },
      close: () => closeMaster(address, options, directory, ctx),
    }
  } catch (error) {
    await closeMaster(address, options, directory, ctx)
    throw error
  }
}

type Ssh = (argv: readonly string[], options: ShellRun, ctx: Context) => Promise<ExecResult>

async function prepareSsh(address: HostAddress, options: SshOptions, directory: string, ctx: Context): Promise<Ssh> {
  const env = { ...inherited(), LC_ALL: 'C', ...(await askpass(address, options, directory, ctx)) }
  const flags = sshFlags(address, options, directory)
  return async (argv, options, ctx) => {
    const command = `${quoteArgv(argv)}; s=$?; test $s -eq ${sshFailed} && s=254; exit $s`
    const result = await run(['ssh', ...flags, '--', address.host, command], { ...options, env }, ctx)
    if (result.code === sshFailed) throw classifySshFailure(address.name, result.stderr)
    return result
  }
}

function sshFlags(address: HostAddress, options: SshOptions, directory: string): string[] {
  const settings = [
    'ControlMaster=auto',
    `ControlPath=${controlPath(directory)}`,
    'ControlPersist=120',
    `ConnectTimeout=${options.connectTimeoutSeconds ?? 10}`,
    // A power cut is noticed after 20 seconds, whatever TCP thinks.
    'ServerAliveInterval=5',
    'ServerAliveCountMax=4',
    'LogLevel=ERROR',
    'ForwardAgent=no',
    'RequestTTY=no',
    'RemoteCommand=none',
    ...(options.acceptNewHostKeys === true ? ['StrictHostKeyChecking=accept-new'] : []),
    ...(options.password === undefined ? ['BatchMode=yes'] : ['NumberOfPasswordPrompts=1']),
  ]
  return [
    '-T',
    ...(options.configFile === undefined ? [] : ['-F', options.configFile]),
    ...(options.identityFile === undefined ? [] : ['-i', options.identityFile]),
    ...(options.jump === undefined ? [] : ['-J', options.jump]),
    ...(address.user === undefined ? [] : ['-l', address.user]),
    ...(address.port === undefined ? [] : ['-p', String(address.port)]),
    ...settings.flatMap(setting => ['-o', setting]),
  ]
}

// A unix socket's path has at most 107 bytes, and ssh adds a suffix of 17 while it binds.
function socketParent(): string {
  return tmpdir().length <= 40 ? tmpdir() : '/tmp'
}

function controlPath(directory: string): string {
  return join(directory, 'm')
}

function inherited(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

/**
 * The helper answers password prompts of the target alone: a jump host's prompt and the question about an unknown key
 * get no answer. The password stands in ssh's environment, which other users cannot read, never in an argv.
 */
const askpassScript = `#!/bin/sh
case $1 in
*@"$CLOUDIMG_ASKPASS_HOST"*[Pp]assword*|*@"$CLOUDIMG_ASKPASS_ALIAS"*[Pp]assword*) printf '%s\\n' "$CLOUDIMG_ASKPASS" ;;
*) exit 1 ;;
esac
`

async function askpass(
  address: HostAddress,
  options: SshOptions,
  directory: string,
  ctx: Context,
): Promise<Record<string, string>> {
  if (options.password === undefined) return {}
  const helper = join(directory, 'askpass')
  await writeFile(helper, askpassScript, { mode: 0o700 })
  await chmod(helper, 0o700)
  const config = await run(['ssh', ...sshFlags(address, options, directory), '-G', '--', address.host], {}, ctx)
  return {
    SSH_ASKPASS: helper,
    SSH_ASKPASS_REQUIRE: 'force',
    CLOUDIMG_ASKPASS: options.password,
    CLOUDIMG_ASKPASS_ALIAS: address.host,
    CLOUDIMG_ASKPASS_HOST: /^hostname (.+)$/m.exec(config.stdout)?.[1] ?? address.host,
  }
}

/** Also after an interruption: the master must not outlive us, so the cancelled context is not asked. */
async function closeMaster(address: HostAddress, options: SshOptions, directory: string, ctx: Context): Promise<void> {
  const anyway: Context = { ...ctx, signal: AbortSignal.timeout(5000) }
  const argv = ['ssh', ...sshFlags(address, options, directory), '-O', 'exit', '--', address.host]
  await run(argv, {}, anyway).catch(() => undefined)
  await rm(directory, { recursive: true, force: true })
}

function noPosixShell(host: string, result: ExecResult): CloudimgError {
  const said = result.stderr.trim().split('\n').at(-1) ?? ''
  return new CloudimgError(
    'HOST_UNSUITABLE',
    `asking "${host}" who we are: no answer of a POSIX shell (exit code ${result.code})${said === '' ? '' : `: ${said}`}`,
    { hint: 'log in as a user whose shell is sh, bash or alike', data: { host, reason: 'shell' } },
  )
}
