import { MiB } from '../core/bytes.ts'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { redactSecrets } from '../core/redact.ts'
import type { ExecOptions, FileState, Host } from './host.ts'
import type { ExecResult, Shell } from './shell.ts'
import { uploadFile } from './upload.ts'

/** A Host from a Shell: whatever needs no more than a POSIX base system at the other end. */
export function hostOver(shell: Shell): Host {
  return {
    name: shell.name,
    ...(shell.arrivedAt === undefined ? {} : { arrivedAt: shell.arrivedAt }),
    look: (argv, ctx) => shell.run(argv, {}, ctx),
    stat: (paths, ctx) => statFiles(shell, paths, ctx),
    read: (path, ctx) => readText(shell, path, ctx),
    exec: (argv, options, ctx) => execChecked(shell, argv, options, ctx),
    upload: (file, ctx, onProgress) => uploadFile(shell, file, ctx, onProgress),
    async unpack(directory, tar, ctx) {
      const argv = ['sh', '-c', unpackScript, 'unpack', directory]
      expectZero(shell.name, argv, await shell.run(argv, { input: tar }, ctx))
    },
    close: () => shell.close(),
  }
}

const unpackScript = 'umask 022; mkdir -p "$1" && tar -x -p -m -f - -C "$1"'

// One program start for many files, not one for each: a rootfs may have thousands.
const statScript = `list=$(cat)
printf '%s\\n' "$list" | tr '\\n' '\\0' | xargs -0 stat -L -c 's %s %a %n' 2>/dev/null
printf '%s\\n' "$list" | tr '\\n' '\\0' | xargs -0 sha256sum 2>/dev/null
exit 0`

async function statFiles(
  shell: Shell,
  paths: readonly string[],
  ctx: Context,
): Promise<readonly (FileState | undefined)[]> {
  if (paths.length === 0) return []
  const input = `${paths.join('\n')}\n`
  const argv = ['sh', '-c', statScript, 'stat']
  const { stdout } = expectZero(shell.name, argv, await shell.run(argv, { input, maxOutputBytes: 256 * MiB }, ctx))
  const found = parseStat(stdout)
  return paths.map(path => found.get(path))
}

function parseStat(stdout: string): ReadonlyMap<string, FileState> {
  const found = new Map<string, FileState>()
  for (const line of stdout.split('\n')) {
    const stat = /^s (\d+) ([0-7]+) (.*)$/.exec(line)
    if (stat !== null) found.set(stat[3]!, { size: Number(stat[1]), mode: Number.parseInt(stat[2]!, 8) })
    const sum = /^([0-9a-f]{64}) [ *](.*)$/.exec(line)
    const state = sum === null ? undefined : found.get(sum[2]!)
    if (sum !== null && state !== undefined) found.set(sum[2]!, { ...state, digest: `sha256:${sum[1]}` })
  }
  return found
}

const absent = 44

async function readText(shell: Shell, path: string, ctx: Context): Promise<string | undefined> {
  const argv = ['sh', '-c', `[ -e "$1" ] || exit ${absent}; cat -- "$1"`, 'read', path]
  const result = await shell.run(argv, {}, ctx)
  return result.code === absent ? undefined : expectZero(shell.name, argv, result).stdout
}

async function execChecked(
  shell: Shell,
  argv: readonly string[],
  options: ExecOptions,
  ctx: Context,
): Promise<ExecResult> {
  const raw = await shell.run(argv, options.input === undefined ? {} : { input: options.input }, ctx)
  const secrets = options.secrets ?? []
  const result = {
    code: raw.code,
    stdout: redactSecrets(raw.stdout, secrets),
    stderr: redactSecrets(raw.stderr, secrets),
  }
  return options.check === false ? result : expectZero(shell.name, argv, result)
}

/** @throws COMMAND_FAILED with the last lines that the program wrote. */
export function expectZero(host: string, argv: readonly string[], result: ExecResult): ExecResult {
  if (result.code === 0) return result
  const said = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-5).join('\n')
  throw new CloudimgError(
    'COMMAND_FAILED',
    `running "${describe(argv)}" on "${host}": exit code ${result.code}${said === '' ? '' : `: ${said}`}`,
    { data: { host, exitCode: result.code } },
  )
}

// A script is known by its name, which stands where a shell puts $0.
function describe(argv: readonly string[]): string {
  return argv[1] === '-c' ? argv.slice(3).join(' ') : argv.join(' ')
}
