import { nodeName, parseReference } from '../core/reference.ts'

/** Those of `wanted` that are not among `present`, whatever form of the name either has. */
export function missingImages(wanted: readonly string[], present: readonly string[]): readonly string[] {
  const there = new Set(present.map(fullName))
  return wanted.filter(image => !there.has(fullName(image)))
}

function fullName(name: string): string {
  try {
    return nodeName(parseReference(name))
  } catch {
    return name
  }
}
