import { CloudimgError } from '../core/error.ts'
import type { Plan } from '../deploy/plan.ts'
import { askText } from './secret-input.ts'
import type { Session } from './session.ts'

/** Asks for the cluster's name before data is lost. @throws REFUSED where it is another one; USAGE off a terminal. */
export function confirmedBy(session: Session, given: string | undefined): (plan: Plan) => Promise<void> {
  return async plan => {
    const what = `${plan.action} of cluster ${plan.cluster}`
    const answer =
      given ??
      (await askText(
        session.terminal,
        `${what}: data on the hosts will be lost; type the cluster's name`,
        `--confirm ${plan.cluster}`,
      ))
    if (answer === plan.cluster) return
    throw new CloudimgError('REFUSED', `confirming the ${what}: "${answer}" is not its name`, {
      hint: `say --confirm ${plan.cluster}`,
    })
  }
}

/** Asks once before nodes that run are restarted for their configuration; nothing where none is. @throws as `agreedBy`. */
export function agreedToRestart(session: Session, yes: boolean): (plan: Plan) => Promise<void> {
  return async plan => {
    const { length } = plan.restarts
    if (yes || length === 0) return
    const question = `restart k3s on ${length === 1 ? plan.restarts[0]! : `${length} hosts`} of cluster ${plan.cluster} for a new configuration? (yes/no)`
    await agree(session, question, 'restart')
  }
}

/** Asks once before what is live is switched. @throws REFUSED where the answer is not yes; USAGE off a terminal. */
export function agreedBy(session: Session, yes: boolean): (plan: Plan) => Promise<void> {
  return async plan => {
    if (yes) return
    const to = plan.image === undefined ? '' : ` to ${plan.image.version ?? plan.image.reference}`
    const what = plan.action === 'renew' ? 'renew the certificates of' : plan.action
    await agree(session, `${what} cluster ${plan.cluster}${to}? (yes/no)`, plan.action)
  }
}

async function agree(session: Session, question: string, what: string): Promise<void> {
  const answer = await askText(session.terminal, question, '--yes')
  if (/^y(es)?$/i.test(answer.trim())) return
  throw new CloudimgError('REFUSED', `asking whether to ${what}: the answer was "${answer}"`, { hint: 'say --yes' })
}
