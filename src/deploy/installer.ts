import * as z from 'zod'
import type { Context, Task } from '../core/context.ts'
import { shortenDigests } from '../core/digest.ts'
import { CloudimgError, type ErrorCode, isCloudimgError } from '../core/error.ts'
import type { Host } from '../host/host.ts'
import type { Clock } from './waiting.ts'

/** Who acts: the operation and its epoch, which hosts compare with their lock. */
export interface Lease {
  readonly op: string
  readonly epoch: number
}

const resultSchema = z.object({
  v: z.literal(1),
  verb: z.string(),
  ok: z.boolean(),
  changed: z.boolean(),
  code: z.number(),
  message: z.string(),
  fix: z.string(),
  version: z.string().optional(),
  state: z.string().optional(),
})

/** The installer's last line (DEPLOY.md, "The node installer"). */
export type InstallerResult = z.infer<typeof resultSchema>

/** @throws COMMAND_FAILED where the program ended without its last word. */
export function parseInstallerResult(stdout: string, verb: string, host: string): InstallerResult {
  const last = stdout.trim().split('\n').at(-1) ?? ''
  try {
    return resultSchema.parse(JSON.parse(last))
  } catch (cause) {
    throw new CloudimgError(
      'COMMAND_FAILED',
      `running cloudimg-node ${verb} on "${host}": it did not report what it did`,
      {
        cause,
        hint: 'run the same command again',
        data: { host },
      },
    )
  }
}

const codes: Readonly<Record<number, ErrorCode>> = {
  2: 'BUG',
  3: 'HOST_UNSUITABLE',
  4: 'DIGEST_MISMATCH',
  6: 'HOST_UNSUITABLE',
  75: 'CLUSTER_LOCKED',
}

/** The installer's failure as an error, code by code. */
export function installerError(result: InstallerResult, host: string): CloudimgError {
  return new CloudimgError(
    codes[result.code] ?? 'COMMAND_FAILED',
    `running cloudimg-node ${result.verb} on "${host}": ${result.message}`,
    { ...(result.fix === '' ? {} : { hint: result.fix }), data: { host, installerCode: result.code } },
  )
}

export interface InstallerCall {
  readonly verb: string
  readonly rootfs: string
  readonly args: readonly string[]
  readonly timeoutSeconds: number
}

/** How long a host may be away while it works for us: the time of a reboot. */
const patienceSeconds = 180

const directory = '/run/cloudimg-deploy'

// $1 unit, $2 directory, then the command. Says `attached` where this very work is under way already.
const startScript = `unit=$1 dir=$2; shift 2
if systemctl is-active --quiet "$unit.service"; then echo attached; exit 0; fi
mkdir -p -m 0700 "$dir" && rm -f "$dir/$unit.code" && : > "$dir/$unit.log" || exit 1
systemctl reset-failed "$unit.service" 2>/dev/null
systemd-run --quiet --unit="$unit" /bin/sh -c '
  at=$1; shift; "$@" </dev/null >"$at.out" 2>"$at.log"; echo $? >"$at.code.new"; mv "$at.code.new" "$at.code"
' sh "$dir/$unit" "$@" && echo started`

// $1 unit, $2 directory, $3 bytes of the log seen, $4 seconds to wait. First line: state and log size; then the new log, or
// at the end a line with the result. A unit that is gone without a code died with the machine.
const waitScript = `at=$2/$1 n=0
until [ -f "$at.code" ] || [ $n -ge $(($4 * 5)) ]; do
  systemctl is-active --quiet "$1.service" || { sleep 1; [ -f "$at.code" ] || { echo gone 0; exit 0; }; break; }
  sleep 0.2 2>/dev/null || { sleep 1; n=$((n + 4)); }; n=$((n + 1))
done
if [ -f "$at.code" ]; then state=ended; else state=running; fi
size=$(wc -c < "$at.log" 2>/dev/null || echo 0)
echo $state $size
[ $state = ended ] && tail -n 1 "$at.out"
tail -c +$(($3 + 1)) "$at.log" 2>/dev/null | head -c $(($size - $3))`

/**
 * Runs a verb in a unit of its own, so that it outlives the connection, and follows it to its end. The same operation
 * attaches again: after a lost connection, and when a killed cloudimg is started anew.
 * @throws by the installer's exit code; HOST_UNREACHABLE when the host stays away; with `data.interrupted` when it rebooted.
 */
export async function callInstaller(
  host: Host,
  call: InstallerCall,
  { lease, pace }: { readonly lease: Lease; readonly pace: Clock },
  ctx: Context,
  task?: Task,
): Promise<InstallerResult> {
  const unit = `cloudimg-${lease.op}-${call.verb}`
  const program = ['/bin/sh', `${call.rootfs}/scripts/cloudimg-node`, call.verb, ...call.args, ...flagsOf(call, lease)]
  await host.exec(['sh', '-c', startScript, 'installer-start', unit, directory, ...program], {}, ctx)
  const stdout = await follow(host, unit, pace, ctx, task)
  if (stdout === undefined) throw interrupted(call.verb, host.name, unit)
  const result = parseInstallerResult(stdout, call.verb, host.name)
  if (result.ok) return result
  throw installerError(result, host.name)
}

function flagsOf(call: InstallerCall, lease: Lease): readonly string[] {
  const timeout = String(call.timeoutSeconds)
  return ['--rootfs', call.rootfs, '--op', lease.op, '--epoch', String(lease.epoch), '--timeout', timeout]
}

/** The machine went down while it worked; what it had in memory, a pending config, must be brought again. */
function interrupted(verb: string, host: string, unit: string): CloudimgError {
  return new CloudimgError(
    'COMMAND_FAILED',
    `running cloudimg-node ${verb} on "${host}": it was ended before it was done`,
    {
      hint: `see on the host: journalctl -u ${unit}; then run the same command again`,
      data: { host, interrupted: true },
    },
  )
}

/** The last line of its output; undefined where it is gone without one. */
async function follow(
  host: Host,
  unit: string,
  clock: Clock,
  ctx: Context,
  task: Task | undefined,
): Promise<string | undefined> {
  let seen = 0
  let heard = clock.now()
  for (;;) {
    try {
      const argv = ['sh', '-c', waitScript, 'installer-wait', unit, directory, String(seen), '3']
      const { stdout } = await host.look(argv, ctx)
      heard = clock.now()
      const { state, size, rest } = splitFirstLine(stdout)
      if (state === 'gone') return undefined
      const end = state === 'ended' ? rest.indexOf('\n') : -1
      const log = state === 'ended' ? rest.slice(end + 1) : rest
      if (log !== '' && task !== undefined)
        ctx.events({ kind: 'task.output', id: task.id, stream: 'stderr', text: told(log, host) })
      if (state === 'ended') return rest.slice(0, end)
      seen = size
    } catch (error) {
      // The work goes on without us: a connection that comes back finds it again.
      if (!isCloudimgError(error, 'HOST_UNREACHABLE') || error.data.retryable !== true) throw error
      if (clock.now() - heard > patienceSeconds * 1000) throw error
      await clock.sleep(3000, ctx.signal)
    }
  }
}

function splitFirstLine(stdout: string): { readonly state: string; readonly size: number; readonly rest: string } {
  const end = stdout.indexOf('\n')
  const [state = '', size = '0'] = stdout.slice(0, end).split(' ')
  return { state, size: Number(size), rest: stdout.slice(end + 1) }
}

/** Hosts speak at once: each line says whose it is. */
function told(log: string, { name }: Pick<Host, 'name'>): string {
  return shortenDigests(log.replaceAll(/^(?:cloudimg-node: )?(?=.)/gm, `${name}: `))
}
