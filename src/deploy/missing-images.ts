import { formatReference, parseReference } from '../core/reference.ts'

/** Those of `wanted` that are not among `present`, whatever form of the name either has. */
export function missingImages(wanted: readonly string[], present: readonly string[]): readonly string[] {
  const there = new Set(present.map(fullName))
  return wanted.filter(image => !there.has(fullName(image)))
}

function fullName(name: string): string {
  try {
    const { tag, digest, ...rest } = parseReference(name)
    // A name with both is found by its digest (facts/k3s.md §4.1).
    return formatReference({ ...rest, ...(digest === undefined ? (tag === undefined ? {} : { tag }) : { digest }) })
  } catch {
    return name
  }
}
