import {
  type CertificateCheck,
  checkCertificates,
  type NodeCertificates,
  planRenewal,
  renewCertificates,
  type RenewRequest,
} from '../../deploy/actions/certificates.ts'
import { importImages, type ImportOptions, planImport } from '../../deploy/actions/import.ts'
import { carryOutAction } from '../carry-out-action.ts'
import { agreedBy } from '../consent.ts'
import { type ActionFlags, type ChoiceFlags, choiceOf, type ReachFlags, reachOf } from '../reach-options.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

export interface CheckFlags extends ReachFlags, ChoiceFlags {
  readonly days?: number
}

/** Authorities sign for a year: one that ends within it is worth a word long before it is due. */
const authorityDays = 365

/** `cloudimg cert check`: exit code 9 where something ends too soon, or a machine could not be looked at. */
export async function certCheck(session: Session, flags: CheckFlags): Promise<number> {
  const { days = 90 } = flags
  const options = { choice: choiceOf(flags), days, ...(await reachOf(session, flags)) }
  const result = await checkCertificates(options, session.ctx)
  const code = result.ok ? 0 : 9
  const authorities = authorityTexts(result)
  for (const message of authorities)
    session.ctx.events({ kind: 'warning', code: 'authority-ends', message, hint: 'see "k3s certificate rotate-ca"' })
  session.answer({ changed: false, code, ...result }, () => describe(result))
  return code
}

function authorityTexts({ nodes }: CertificateCheck): readonly string[] {
  return nodes.flatMap(({ name, certificates }) =>
    certificates
      .filter(({ isAuthority, days }) => isAuthority && days < authorityDays)
      .map(
        ({ path, days }) => `${name}: the authority ${path} ends in ${days} days, and cloudimg renews no authorities`,
      ),
  )
}

function describe({ cluster, days, nodes, ok }: CertificateCheck): string {
  const table = formatTable(['NODE', 'HOST', 'DAYS', 'CERTIFICATE'], nodes.flatMap(rowsOf))
  const unseen = nodes.flatMap(node => (node.unseen === undefined ? [] : [`  ${node.name}: ${node.unseen}`]))
  const due = nodes.flatMap(({ certificates }) => certificates.filter(entry => entry.days < days))
  const next = due.some(entry => !entry.isAuthority) ? ['next: cloudimg cert renew'] : []
  const judgement = ok ? `nothing ends within ${days} days` : `${due.length} certificates end within ${days} days`
  return [`cluster ${cluster}`, '', table, '', judgement, ...unseen, ...next].join('\n')
}

function rowsOf({ name, host, certificates }: NodeCertificates): readonly (readonly string[])[] {
  return certificates.map(({ path, days, isAuthority }) => [
    name,
    host,
    String(days),
    `${path.replace('/var/lib/rancher/k3s/', '')}${isAuthority ? ' (authority)' : ''}`,
  ])
}

export interface RenewFlags extends ReachFlags, ActionFlags, ChoiceFlags {
  readonly rotate?: boolean
  readonly maxUnavailable?: number
  readonly yes?: boolean
}

/** `cloudimg cert renew`: servers one at a time, then agents. */
export async function certRenew(session: Session, flags: RenewFlags): Promise<number> {
  const { rotate, maxUnavailable } = flags
  const options: RenewRequest = {
    choice: choiceOf(flags),
    approve: agreedBy(session, flags.yes === true),
    wishes: {
      ...(rotate === true ? { rotate } : {}),
      ...(maxUnavailable === undefined ? {} : { maxUnavailable }),
    },
    ...(await reachOf(session, flags)),
  }
  return await carryOutAction(session, flags, {
    plan: () => planRenewal(options, session.ctx),
    perform: () => renewCertificates(options, session.ctx),
  })
}

/** `cloudimg import`: nodes get the images back that they lack. */
export async function importMissing(session: Session, flags: ReachFlags & ActionFlags & ChoiceFlags): Promise<number> {
  const options: ImportOptions = { choice: choiceOf(flags), ...(await reachOf(session, flags)) }
  return await carryOutAction(session, flags, {
    plan: () => planImport(options, session.ctx),
    perform: () => importImages(options, session.ctx),
  })
}
