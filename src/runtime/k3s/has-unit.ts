import type { PlannedNode } from '../runtime.ts'

/** The machine has a unit of k3s, whichever. */
export function hasUnit({ facts }: PlannedNode): boolean {
  return Object.values(facts.k3s.units).some(unit => !['unknown', 'not-found', ''].includes(unit.enabled))
}
