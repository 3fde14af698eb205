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

/** Asks once before what is live is switched. @throws REFUSED where the answer is not yes; USAGE off a terminal. */
export function agreedBy(session: Session, yes: boolean): (plan: Plan) => Promise<void> {
  return async plan => {
    if (yes) return
    const to = plan.image === undefined ? '' : ` to ${plan.image.version ?? plan.image.reference}`
    const what = plan.action === 'renew' ? 'renew the certificates of' : plan.action
    const answer = await askText(session.terminal, `${what} cluster ${plan.cluster}${to}? (yes/no)`, '--yes')
    if (/^y(es)?$/i.test(answer.trim())) return
    throw new CloudimgError('REFUSED', `asking whether to ${plan.action}: the answer was "${answer}"`, {
      hint: 'say --yes',
    })
  }
}
