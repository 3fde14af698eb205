import type { Diagnostic } from '../../core/diagnostic.ts'
import type { Kubefile } from '../ast.ts'
import type { Finding, LintRule, LintSubject } from './rule.ts'
import { lintRules } from './rules.ts'

/** What the rules that belong to parsing find. */
export function guardKubefile(kubefile: Kubefile): readonly Diagnostic[] {
  return lintRules.filter(rule => rule.guard).flatMap(rule => runRule(rule, { kubefile }))
}

export function runRule(rule: LintRule, subject: LintSubject): readonly Diagnostic[] {
  return (rule.check?.(subject) ?? []).map(finding => diagnosticOf(rule, finding))
}

function diagnosticOf({ id, severity }: LintRule, finding: Finding): Diagnostic {
  const { message, span, hint, fix } = finding
  return {
    severity: finding.severity ?? severity,
    rule: id,
    message,
    span,
    ...(hint === undefined ? {} : { hint }),
    ...(fix === undefined || fix.length === 0 ? {} : { fix }),
  }
}
