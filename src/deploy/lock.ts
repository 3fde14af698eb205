import { hostname, userInfo } from 'node:os'
import type { Context } from '../core/context.ts'
import { CloudimgError, isCloudimgError } from '../core/error.ts'
import type { HostFacts } from '../host/facts.ts'
import type { Host } from '../host/host.ts'
import { installerError, type Lease, parseInstallerResult } from './installer.ts'
import { onHosts } from './on-hosts.ts'
import { type Clock, within } from './waiting.ts'

const heartbeatSeconds = 20
/** A lock without a sign of life for this long is a dead operator's: six heartbeats. */
const staleSeconds = 120

export interface HeldLock {
  readonly owner: string
  readonly op: string
  readonly epoch: number
  readonly ageSeconds: number
}

/** The lock file that the installer writes: `OWNER OP EPOCH HEARTBEAT`. */
export function parseLock(facts: HostFacts): HeldLock | undefined {
  const match = /^(\S+) (\S+) (\d+) (\d+)\s*$/.exec(facts.cloudimg.lock ?? '')
  if (match === null) return undefined
  return { owner: match[1]!, op: match[2]!, epoch: Number(match[3]), ageSeconds: facts.time - Number(match[4]) }
}

export interface LockedHost {
  readonly host: Host
  readonly facts: HostFacts
}

/**
 * The epoch with which an operation may take the hosts' locks: newer than any that is there.
 * @throws CLUSTER_LOCKED where another operation holds one and shows signs of life.
 */
export function nextEpoch(hosts: readonly LockedHost[], op: string, earlier: number, ctx: Context): number {
  let epoch = earlier
  for (const { host, facts } of hosts) {
    const held = parseLock(facts)
    if (held === undefined) continue
    epoch = Math.max(epoch, held.epoch)
    if (held.op === op) continue
    if (held.ageSeconds < staleSeconds) throw locked(host.name, held)
    ctx.events({
      kind: 'warning',
      code: 'lock-taken-over',
      message: `"${host.name}" was locked by ${held.owner} with operation ${held.op}, without a sign of life for ${held.ageSeconds} s: taking over`,
    })
  }
  return epoch + 1
}

/** @throws CLUSTER_LOCKED where this operation is another operator's, who shows signs of life. */
export function refuseAlive({ name }: Pick<Host, 'name'>, facts: HostFacts, op: string): void {
  const held = parseLock(facts)
  if (held?.op === op && held.ageSeconds < staleSeconds) throw locked(name, held)
}

function locked(host: string, held: HeldLock): CloudimgError {
  return new CloudimgError(
    'CLUSTER_LOCKED',
    `locking "${host}": ${held.owner} is at work there with operation ${held.op}, last sign of life ${held.ageSeconds} s ago`,
    {
      hint: `wait until it is done; a dead one is taken over ${staleSeconds} s after its last sign of life`,
      data: { host, owner: held.owner, op: held.op, epoch: held.epoch },
    },
  )
}

/**
 * Holds every host's lock around `work`, with a sign of life from time to time. `work` gets a context that is cancelled when
 * a lock is lost. Locks are given back whatever happens; where that fails they grow stale.
 */
export async function withLock<T>(
  hosts: readonly Host[],
  installer: string,
  { lease, pace }: { readonly lease: Lease; readonly pace: Clock },
  ctx: Context,
  work: (ctx: Context) => Promise<T>,
): Promise<T> {
  const call = (host: Host, verb: string, ctx: Context): Promise<void> => lockVerb(host, verb, installer, lease, ctx)
  const held: Host[] = []
  const lost = new AbortController()
  const inner: Context = { ...ctx, signal: AbortSignal.any([ctx.signal, lost.signal]) }
  const beating = new AbortController()
  let heart: Promise<void> = Promise.resolve()
  try {
    await onHosts(
      hosts,
      hosts.length,
      host => host.name,
      async host => {
        await call(host, 'lock', ctx)
        held.push(host)
      },
    )
    heart = beat(
      held,
      host => call(host, 'heartbeat', inner),
      pace,
      beating.signal,
      error => lost.abort(error),
    )
    return await work(inner)
  } catch (error) {
    throw lost.signal.aborted ? lost.signal.reason : error
  } finally {
    beating.abort()
    await heart
    // Also after an interruption: whoever comes next should not have to wait.
    await within(20_000, pace, signal => Promise.allSettled(held.map(host => call(host, 'unlock', { ...ctx, signal }))))
  }
}

async function beat(
  hosts: readonly Host[],
  call: (host: Host) => Promise<void>,
  clock: Clock,
  signal: AbortSignal,
  onLost: (error: unknown) => void,
): Promise<void> {
  for (;;) {
    await clock.sleep(heartbeatSeconds * 1000, signal).catch(() => undefined)
    if (signal.aborted) return
    const results = await Promise.allSettled(hosts.map(call))
    for (const result of results)
      if (result.status === 'rejected' && isCloudimgError(result.reason, 'CLUSTER_LOCKED')) onLost(result.reason)
  }
}

const absent = 94

// $1 where the program stays while the lock is held, $2 verb; for lock it comes by stdin.
const lockScript = `umask 077; at=$1; shift
if [ "$1" = lock ]; then mkdir -p "$(dirname "$at")" && cat > "$at" || exit 1; fi
[ -f "$at" ] || exit ${absent}
sh "$at" "$@"; code=$?
if [ "$1" = unlock ] || { [ "$1" = lock ] && [ $code != 0 ]; }; then rm -f "$at"; fi
exit $code`

/**
 * The installer comes by stdin, as the lock comes before anything is sent, and stays in memory for the signs of life: of many hosts'
 * many heartbeats each would bring it again. After a reboot it does.
 */
async function lockVerb(host: Host, verb: string, installer: string, lease: Lease, ctx: Context): Promise<void> {
  const owner = `${userInfo().username}@${hostname()}`.replaceAll(/[^A-Za-z0-9._@:+-]/g, '_')
  const flags = ['--op', lease.op, '--epoch', String(lease.epoch), '--owner', owner]
  const argv = ['sh', '-c', lockScript, 'lock-verb', `/run/cloudimg-deploy/lock-${lease.op}`, verb, ...flags]
  const said = await host.exec(argv, { check: false, ...(verb === 'lock' ? { input: installer } : {}) }, ctx)
  const { stdout } =
    said.code === absent
      ? await host.exec(['sh', '-s', '--', verb, ...flags], { input: installer, check: false }, ctx)
      : said
  const result = parseInstallerResult(stdout, verb, host.name)
  if (!result.ok) throw installerError(result, host.name)
}
