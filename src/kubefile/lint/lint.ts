import type { Diagnostic } from '../../core/diagnostic.ts'
import { parseKubefile } from '../parse.ts'
import { runRule } from './guard.ts'
import type { LintSubject } from './rule.ts'
import { lintRules } from './rules.ts'
import { readSkips } from './skip.ts'

export type LintOptions = Omit<LintSubject, 'kubefile'>

/** Where a rule is explained. */
export function rulePage(id: string): string {
  return `https://github.com/cloudimg/cloudimg/blob/main/docs/rules/${id}.md`
}

/**
 * All that parsing and the rules find, in the order of the text; what the Kubefile skips is left out, and warnings are
 * errors where it says so (`# check=error=true`). Never throws for bad input.
 */
export function lintKubefile(source: string, filename: string, options: LintOptions = {}): readonly Diagnostic[] {
  const { draft, diagnostics } = parseKubefile(source, filename)
  const skips = readSkips(draft)
  const rules = lintRules.filter(rule => rule.guard !== true)
  const found = [...diagnostics, ...rules.flatMap(rule => runRule(rule, { ...options, kubefile: draft }))]
  return [...found.filter(diagnostic => !skips.isSkipped(diagnostic)), ...skips.diagnostics]
    .map(diagnostic => (skips.strict ? { ...diagnostic, severity: 'error' as const } : diagnostic))
    .toSorted((a, b) => a.span.start.offset - b.span.start.offset)
}
