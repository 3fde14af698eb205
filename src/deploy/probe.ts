import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import type { ReadonlyHost } from '../host/host.ts'
import { daysLeft, leavesOf, parseCertificates } from '../runtime/certificates.ts'
import { matchesContent, type Probe } from '../runtime/step.ts'
import type { Holes } from './holes.ts'
import type { Keep } from './keep.ts'
import type { RegistryEnd } from './registry/registry-end.ts'
import type { Clock } from './waiting.ts'

/** What probes look at. */
export interface Sight {
  readonly hosts: ReadonlyMap<string, ReadonlyHost>
  readonly holes: Holes
  /** What the operation has brought to the operator; absent before there is an operation. */
  readonly keep?: Keep
  /** Absent where the cluster has no registry of a URL. */
  readonly registry?: RegistryEnd | undefined
  readonly pace: Pick<Clock, 'now'>
}

/** Whether what the probe says is true of the host now. Changes nothing. */
export async function holds(probe: Probe, host: ReadonlyHost, sight: Sight, ctx: Context): Promise<boolean> {
  switch (probe.probe) {
    case 'files': {
      const states = await host.stat(
        probe.files.map(file => file.path),
        ctx,
      )
      return probe.files.every((file, index) => states[index]?.digest === file.digest)
    }
    case 'content': {
      const text = await host.read(probe.path, ctx)
      return text !== undefined && matchesContent(text, probe.content, await sight.holes.known(probe.content, ctx))
    }
    case 'command': {
      const result = await host.look(probe.argv, ctx)
      return result.code === 0 && (probe.expect === 'zero' || result.stdout.trim() === probe.expect.stdout)
    }
    case 'all': {
      for (const part of probe.of) if (!(await holds(part, host, sight, ctx))) return false
      return true
    }
    case 'any': {
      for (const part of probe.of) if (await holds(part, host, sight, ctx)) return true
      return false
    }
    case 'on':
      return await holds(probe.of, hostNamed(sight.hosts, probe.host), sight, ctx)
    case 'pushed':
      return (await sight.registry?.missing(ctx))?.length === 0
    case 'certificates': {
      const { stdout } = await host.look(probe.argv, ctx)
      const ends = leavesOf(parseCertificates(stdout)).map(certificate => daysLeft(certificate, sight.pace.now()))
      if (probe.end === 'before') return ends.some(days => days < probe.days)
      return ends.length > 0 && ends.every(days => days >= probe.days)
    }
    case 'kept':
      return (await sight.keep?.has(probe.name)) ?? false
  }
}

/** @throws BUG where a plan names a host that the action has not connected to. */
export function hostNamed<T extends ReadonlyHost>(hosts: ReadonlyMap<string, T>, name: string): T {
  const host = hosts.get(name)
  if (host === undefined)
    throw new CloudimgError('BUG', `carrying out a plan: it names host "${name}", which is not connected`)
  return host
}
