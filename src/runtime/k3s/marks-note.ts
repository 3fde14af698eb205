import type { Marks } from '../runtime.ts'

/** On the node: what cloudimg has marked it with, so that it can take away what is no longer declared, and nothing else. */
export const marksAnnotation = 'cloudimg.io/marks'

/** Words: `key=value` for a label, `key=value:Effect` for a taint. Neither keys nor values hold blanks or colons. */
export function formatMarks({ labels, taints }: Marks): string {
  return [...Object.entries(labels).map(([key, value]) => `${key}=${value}`), ...taints.map(fullTaint)].sort().join(' ')
}

/** The inverse of `formatMarks`. */
export function parseMarks(note: string): Marks {
  const words = note.split(' ').filter(word => word.includes('='))
  const labels = words.filter(word => !word.includes(':'))
  return {
    labels: Object.fromEntries(
      labels.map(word => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
    ),
    taints: words.filter(word => word.includes(':')),
  }
}

/** A taint without a value is one with an empty value. */
export function fullTaint(taint: string): string {
  return taint.includes('=') ? taint : taint.replace(':', '=:')
}
