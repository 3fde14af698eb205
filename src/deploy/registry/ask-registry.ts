import { type Context } from '../../core/context.ts'
import { type ErrorCode, isCloudimgError, reasonOf } from '../../core/error.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import { onHosts } from '../on-hosts.ts'
import type { MissingImage, RegistryEnd } from './registry-end.ts'

/** What the registry of a URL says of the images of a bundle, and which hosts cannot reach it. */
export interface RegistryAnswer {
  /** `login`: it wants another login than nodes will have. `silent`: no answer that could be understood. */
  readonly state: 'answered' | 'login' | 'silent'
  readonly why: string
  readonly missing: readonly MissingImage[]
  /** Different images that would have one name there. */
  readonly collisions: readonly string[]
  /** By name; those that cannot tell are none of them. */
  readonly unreaching: readonly string[]
}

const refusals: readonly ErrorCode[] = ['REGISTRY_AUTH', 'REGISTRY_DENIED']

/** Asks as nodes will ask. Nothing that it answers is an error here: that is for the judges. */
export async function askRegistry(
  end: RegistryEnd,
  url: string,
  hosts: readonly ReadonlyHost[],
  concurrency: number,
  ctx: Context,
): Promise<RegistryAnswer> {
  ctx.events({ kind: 'phase', title: 'Ask the registry' })
  const reached = await onHosts(
    hosts,
    concurrency,
    ({ name }) => name,
    host => canReach(host, url, ctx),
  )
  const unreaching = hosts.filter((_, index) => reached[index] === false).map(({ name }) => name)
  const known = { collisions: end.collisions(), unreaching }
  try {
    return { state: 'answered', why: '', missing: await end.missing(ctx), ...known }
  } catch (error) {
    if (!isCloudimgError(error) || ['CANCELLED', 'BUG', 'USAGE'].includes(error.code)) throw error
    return { state: refusals.includes(error.code) ? 'login' : 'silent', why: reasonOf(error), missing: [], ...known }
  }
}

// $1 host, $2 port. A connection, no more: certificates and logins are asked for from here.
const reachScript = `command -v bash >/dev/null 2>&1 || { echo unknown; exit 0; }
timeout 10 bash -c 'exec 3<>"/dev/tcp/$1/$2"' reach "$1" "$2" 2>/dev/null && echo yes || echo no`

/** Undefined where the host has nothing to try it with. */
async function canReach(host: ReadonlyHost, url: string, ctx: Context): Promise<boolean | undefined> {
  const { hostname, port, protocol } = new URL(url)
  const address = hostname.replace(/^\[|\]$/g, '')
  const argv = ['sh', '-c', reachScript, 'registry-reach', address, port || (protocol === 'http:' ? '80' : '443')]
  const { stdout } = await host.look(argv, ctx)
  return stdout.trim() === 'yes' ? true : stdout.trim() === 'no' ? false : undefined
}
