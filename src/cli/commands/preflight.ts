import { checkHosts, type PreflightOptions, type PreflightResult } from '../../deploy/actions/preflight.ts'
import { reachAsDeclared } from '../../deploy/clusterfile/declared-cluster.ts'
import { type Ends, realEnds } from '../../deploy/ends.ts'
import { declaredOptions } from '../clusterfile-options.ts'
import { listOf } from '../reach-options.ts'
import type { Session } from '../session.ts'
import { imageOf, type NodeFlags, nodeOptions } from './run.ts'

export interface PreflightFlags extends NodeFlags {
  readonly file?: string
}

/** `cloudimg preflight [REF]`: what would keep hosts from being nodes. 7 where `run` would refuse. */
export async function preflight(
  session: Session,
  reference: string | undefined,
  flags: PreflightFlags,
): Promise<number> {
  const { options, ends } = await optionsOf(session, reference, flags)
  const result = await checkHosts(options, session.ctx, ends)
  const ok = result.findings.every(({ severity }) => severity !== 'error')
  const code = ok ? 0 : 7
  session.answer({ ok, changed: false, code, ...result }, () => describePreflight(result))
  return code
}

interface Asked {
  readonly options: PreflightOptions
  readonly ends: Ends
}

async function optionsOf(session: Session, reference: string | undefined, flags: PreflightFlags): Promise<Asked> {
  if (flags.file !== undefined) {
    const { options, ssh } = await declaredOptions(session, flags.file, flags, reference)
    return { options, ends: reachAsDeclared(realEnds, ssh) }
  }
  const [servers, agents] = [listOf(flags.servers), listOf(flags.agents)]
  const options = {
    ...(await nodeOptions(session, flags)),
    ...(reference === undefined ? {} : { image: await imageOf(session, reference, flags) }),
    ...(servers.length + agents.length === 0 ? {} : { hosts: { servers, agents } }),
  }
  return { options, ends: realEnds }
}

/** Host by host, in the order in which they were named. */
export function describePreflight({ hosts, findings }: PreflightResult): string {
  return hosts
    .flatMap(({ host, role }) => {
      const own = findings.filter(finding => finding.host === host)
      const lines = own.flatMap(({ id, severity, message, fix }) => [
        `  ${severity} [${id}]: ${message}`,
        `    fix: ${fix}`,
      ])
      return [`${host} (${role})${own.length === 0 ? ': nothing speaks against it' : ''}`, ...lines]
    })
    .join('\n')
}
