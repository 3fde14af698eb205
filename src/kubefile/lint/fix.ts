import type { Diagnostic, Edit } from '../../core/diagnostic.ts'
import { parseKubefile } from '../parse.ts'
import { lintKubefile, type LintOptions } from './lint.ts'

export interface Fixed {
  readonly source: string
  /** What was mended. */
  readonly fixed: readonly Diagnostic[]
  /** What is left. */
  readonly left: readonly Diagnostic[]
}

// One fix may uncover another; none makes work for itself.
const maxRounds = 10

/** Writes what the rules know how to write, until nothing of that kind is left. */
export function fixKubefile(source: string, filename: string, options: LintOptions = {}): Fixed {
  let current = source
  const fixed: Diagnostic[] = []
  for (let round = 0; round < maxRounds; round++) {
    const found = lintKubefile(current, filename, options)
    const chosen = withoutOverlaps(found.filter(({ fix = [] }) => fix.length > 0))
    const next = applyEdits(
      current,
      chosen.flatMap(({ fix }) => fix ?? []),
    )
    if (chosen.length === 0 || !isBetter(current, next)) return { source: current, fixed, left: found }
    current = next
    fixed.push(...chosen)
  }
  return { source: current, fixed, left: lintKubefile(current, filename, options) }
}

/** No mistake that was not there before. */
function isBetter(before: string, after: string): boolean {
  const errors = (source: string): number =>
    parseKubefile(source).diagnostics.filter(({ severity }) => severity === 'error').length
  return errors(after) <= errors(before)
}

function withoutOverlaps(diagnostics: readonly Diagnostic[]): readonly Diagnostic[] {
  const taken: Edit[] = []
  return diagnostics.filter(({ fix = [] }) => {
    const isFree = fix.every(edit => taken.every(other => edit.end <= other.start || edit.start >= other.end))
    if (isFree) taken.push(...fix)
    return isFree
  })
}

export function applyEdits(source: string, edits: readonly Edit[]): string {
  return edits
    .toSorted((a, b) => b.start - a.start)
    .reduce((text, { start, end, text: by }) => text.slice(0, start) + by + text.slice(end), source)
}
