import type { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'

export interface ExecResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface ShellRun {
  readonly input?: string | Uint8Array | Readable
  /** Each stream is kept up to this many bytes; 4 MiB unless told. */
  readonly maxOutputBytes?: number
}

/**
 * The least that a machine must offer: run a program as root, bytes in, bytes out.
 * All else that a Host does is derived from it (`posix-host.ts`), so a new way to reach machines is one small file.
 */
export interface Shell {
  readonly name: string
  /** The address at which the machine saw us arrive; absent where there is no connection. */
  readonly arrivedAt?: string
  /** Any exit code of the program is an answer. @throws HOST_UNREACHABLE or HOST_KEY_CHANGED when the machine is the trouble. */
  run(argv: readonly string[], options: ShellRun, ctx: Context): Promise<ExecResult>
  close(): Promise<void>
}

/** What every program on a host sees, whoever logs in: fixed language and path, no proxies of the login session. */
export const fixedEnvironment: readonly string[] = [
  'env',
  ...['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy']
    .flatMap(name => [name, name.toUpperCase()])
    .flatMap(name => ['-u', name]),
  'LC_ALL=C',
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
]
