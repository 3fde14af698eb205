import type { Span } from '../core/diagnostic.ts'
import type { Platform } from '../core/platform.ts'
import type { ConfigChange } from './container-config.ts'

/** What every step carries: the line it comes from, as written. */
interface FromKubefile {
  readonly createdBy: string
  readonly span: Span
}

/** A name or number for the owner of what is copied; numbers as written, names looked up in the tree's passwd. */
export interface OwnerWish {
  readonly user: string
  readonly group: string | undefined
}

export type Step = FromKubefile &
  (
    | {
        readonly kind: 'copy'
        readonly sources: readonly string[]
        readonly target: string
        readonly owner: OwnerWish | undefined
        readonly mode: number | undefined
        readonly wellKnownNames: boolean
      }
    | { readonly kind: 'template'; readonly template: string; readonly version: string | undefined }
    | { readonly kind: 'collect' }
    | { readonly kind: 'configure'; readonly change: ConfigChange }
  )

/** Pure data: what one platform's build does, in order. `build --plan` prints it. */
export interface BuildPlan {
  readonly platform: Platform
  readonly steps: readonly Step[]
  /** Whether a cluster image comes out, as far as the Kubefile tells: it lays down a template. */
  readonly usesTemplate: boolean
}
