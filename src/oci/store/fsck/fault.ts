import type { Digest } from '../../../core/digest.ts'

/** `repaired`: it was taken out of the way. */
export interface Fault {
  readonly kind: FaultKind
  /** What is wrong, in a sentence. */
  readonly message: string
  /** The file to take out of the way; undefined where that would not help. */
  readonly path?: string
  readonly digest?: Digest
  /** Names that suffer. */
  readonly names: readonly string[]
}

export type FaultKind =
  /** A blob or recipe that does not hash to its name. */
  | 'broken'
  /** What a name needs and the store lacks. */
  | 'missing'
  /** A document, or what documents say of each other, that cannot be. */
  | 'inconsistent'
  /** A name, referrer entry or cache record that leads nowhere or cannot be read. */
  | 'dangling'
  /** A file that has no place among blobs, recipes and names. */
  | 'stray'
