import type { Context } from '../../core/context.ts'
import { daysLeft } from '../../runtime/certificates.ts'
import { findRuntime } from '../../runtime/find-runtime.ts'
import type { Role } from '../../runtime/runtime.ts'
import type { Action } from '../action.ts'
import type { ClusterChoice } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import { type EveryNode, findEveryone } from '../everyone.ts'
import { judgeRotation } from '../judges/rotation.ts'
import { onHosts } from '../on-hosts.ts'
import type { ReachOptions } from '../options.ts'
import { renewAgents, renewServers } from '../phases/renew-nodes.ts'
import type { ActionRequest } from '../request.ts'
import { unseen } from '../status/inspect-node.ts'
import { waysOf } from '../ways.ts'

/** Servers one at a time, then agents; the operator's kubeconfig is fetched anew at the end, as after every action. */
export const renewAction: Action = {
  name: 'renew',
  phases: [renewServers, renewAgents],
  judges: [judgeRotation],
  leaves: 'cluster',
}

export interface RenewRequest extends ReachOptions {
  readonly choice: ClusterChoice
}

const ways = waysOf(renewAction, requestOf)
export const planRenewal = ways.plan
export const renewCertificates = ways.perform

/** Where all certificates have ended no server answers, and this is the way out. */
async function requestOf({ choice, ...reach }: RenewRequest, ends: Ends, ctx: Context): Promise<ActionRequest> {
  const { nodes, found } = await findEveryone(choice, reach, ends, ctx)
  return { ...reach, inventory: found?.nodes ?? nodes }
}

export interface CheckOptions extends ReachOptions {
  readonly choice: ClusterChoice
  /** What has fewer days left is due. */
  readonly days: number
}

export interface CertificateState {
  readonly path: string
  /** Negative where it has ended. */
  readonly days: number
  readonly isAuthority: boolean
}

export interface NodeCertificates {
  readonly name: string
  readonly role: Role
  readonly host: string
  /** What ends first comes first. */
  readonly certificates: readonly CertificateState[]
  /** Why the machine could not be looked at. */
  readonly unseen?: string
}

export interface CertificateCheck {
  readonly cluster: string
  readonly days: number
  readonly nodes: readonly NodeCertificates[]
  /** Every machine was seen, and nothing ends within those days. */
  readonly ok: boolean
}

/** How long every certificate of every node lasts. Changes nothing, and locks nothing. */
export async function checkCertificates(
  { choice, days, ...reach }: CheckOptions,
  ctx: Context,
  ends: Ends = realEnds,
): Promise<CertificateCheck> {
  const { id, nodes: known, found } = await findEveryone(choice, reach, ends, ctx)
  ctx.events({ kind: 'phase', title: 'Certificates' })
  const runtime = found?.runtime ?? findRuntime('k3s')
  const look = async (node: EveryNode): Promise<NodeCertificates> => {
    const about = { name: node.name, role: node.role, host: node.address.name }
    try {
      const host = await ends.connect(node.address, reach.ssh ?? {}, ctx)
      try {
        const states = (await runtime.certificates(host, ctx)).map(certificate => ({
          path: certificate.path,
          days: daysLeft(certificate, ends.now()),
          isAuthority: certificate.isAuthority,
        }))
        return { ...about, certificates: states.sort((a, b) => a.days - b.days) }
      } finally {
        await host.close()
      }
    } catch (error) {
      return { ...about, certificates: [], unseen: unseen(error) }
    }
  }
  const nodes = await onHosts(found?.nodes ?? known, reach.limits?.concurrency ?? 10, node => node.name, look)
  const isFine = (node: NodeCertificates): boolean =>
    node.unseen === undefined && node.certificates.every(certificate => certificate.days >= days)
  return { cluster: id, days, nodes, ok: nodes.every(isFine) }
}
