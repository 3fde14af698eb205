import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import type { Finding } from '../../runtime/finding.ts'

/** Says every warning, and refuses at the first change's door if there is an error. @throws HOST_UNSUITABLE with all of them. */
export function preflight(findings: readonly Finding[], ctx: Context): void {
  ctx.events({ kind: 'phase', title: 'Preflight' })
  for (const { id, host, severity, message, fix } of findings)
    if (severity === 'warning') ctx.events({ kind: 'warning', code: id, message: `${host}: ${message}`, hint: fix })
  const errors = findings.filter(finding => finding.severity === 'error')
  const [first] = errors
  if (first === undefined) return
  const list = errors.map(finding => `\n  ${finding.host}: ${finding.message} [${finding.id}]`).join('')
  const others = errors.slice(1).filter(finding => finding.fix !== first.fix)
  throw new CloudimgError('HOST_UNSUITABLE', `checking the hosts: nothing was changed, because${list}`, {
    hint: [first, ...others].map(finding => `${finding.host}: ${finding.fix}`).join('\n'),
    data: {
      findings: errors.map(finding => finding.id).join(' '),
      hosts: [...new Set(errors.map(finding => finding.host))].join(' '),
    },
  })
}
