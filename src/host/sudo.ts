import { Readable } from 'node:stream'
import { CloudimgError } from '../core/error.ts'
import type { ExecResult, ShellRun } from './shell.ts'

/** How commands become root's on one machine: found out once, when it is connected. */
export type Sudo =
  { readonly kind: 'root' } | { readonly kind: 'free' } | { readonly kind: 'password'; readonly password: string }

type Run = (argv: readonly string[], options: ShellRun) => Promise<ExecResult>

/** Cached sudo credentials are ignored on purpose (`-k`): they may end in the middle of a deployment. */
export async function findSudo(host: string, uid: number, password: string | undefined, run: Run): Promise<Sudo> {
  if (uid === 0) return { kind: 'root' }
  const free = await run(['sudo', '-k', '-n', '--', 'true'], {})
  if (free.code === 0) return { kind: 'free' }
  if (password === undefined)
    throw sudoRefused(host, 'sudo asks for a password', 'give it with --ask-sudo-password, or allow sudo without one')
  const asked: Sudo = { kind: 'password', password }
  const { argv, input } = asRoot(asked, ['true'], {})
  const tried = await run(argv, input === undefined ? {} : { input })
  if (tried.code === 0) return asked
  throw sudoRefused(host, 'sudo refused the password', 'check the password, and that the user may use sudo')
}

function sudoRefused(host: string, why: string, hint: string): CloudimgError {
  return new CloudimgError('HOST_UNSUITABLE', `becoming root on "${host}": ${why}`, {
    hint,
    data: { host, reason: 'sudo' },
  })
}

/**
 * The command and input that run `argv` as root. The password is the first line of stdin and nowhere else;
 * `-k` makes sudo read it each time, so that it can never reach the program instead.
 */
export function asRoot(
  sudo: Sudo,
  argv: readonly string[],
  options: ShellRun,
): { readonly argv: readonly string[] } & ShellRun {
  switch (sudo.kind) {
    case 'root':
      return { ...options, argv }
    case 'free':
      return { ...options, argv: ['sudo', '-n', '--', ...argv] }
    case 'password':
      return {
        ...options,
        argv: ['sudo', '-k', '-S', '-p', '', '--', ...argv],
        input: withLine(sudo.password, options.input),
      }
  }
}

function withLine(line: string, input: ShellRun['input']): string | Uint8Array | Readable {
  const first = `${line}\n`
  if (input === undefined) return first
  if (typeof input === 'string') return first + input
  if (input instanceof Uint8Array) return Buffer.concat([Buffer.from(first), input])
  return Readable.from(lineThen(first, input))
}

async function* lineThen(first: string, rest: Readable): AsyncGenerator<Buffer> {
  yield Buffer.from(first)
  for await (const chunk of rest) yield chunk as Buffer
}
