import type { Authorities } from './pki.ts'
import type { Store } from './store.ts'

/** What a running server knows and its parts share. */
export interface Cluster {
  readonly store: Store
  readonly authorities: Authorities
  /** The passwords alone. */
  readonly serverPassword: string
  readonly agentPassword: string
  /** Options that all servers must agree in. (facts/k3s.md §6.2, marked "=") */
  readonly critical: Readonly<Record<string, string>>
}
