import type { Place } from '../workload/discovery.ts'

export type GapKind =
  /** A container image that somebody asks for. */
  | 'image'
  /** A part of a container image below images/oci. */
  | 'blob'
  /** A file that the installer, a script or the Metadata names. */
  | 'file'
  /** A program that would fetch something. */
  | 'network'
  /** A pod for which the node would ask a registry, whatever it has. */
  | 'pull-policy'
  /** What is for other machines. */
  | 'architecture'
  /** What may ask for anything, since it cannot be read. */
  | 'unreadable'

/** What a deployment without any way out would lack, and who asks for it. */
export interface Gap {
  readonly kind: GapKind
  readonly what: string
  readonly why: string
  readonly askedBy: readonly Place[]
}

/** What a person should look at; it keeps nothing from being proven. */
export interface Doubt extends Place {
  readonly message: string
}

/** Gathers gaps; one that is named again has one more who asks for it. */
export class Gaps {
  readonly #gaps = new Map<string, { kind: GapKind; what: string; why: string; askedBy: Map<string, Place> }>()
  readonly #doubts = new Map<string, Doubt>()

  add(kind: GapKind, what: string, why: string, ...askedBy: readonly Place[]): void {
    const known = this.#gaps.get(what) ?? { kind, what, why, askedBy: new Map<string, Place>() }
    this.#gaps.set(what, known)
    for (const { file, line, field } of askedBy) known.askedBy.set(`${file}:${line} ${field}`, { file, line, field })
  }

  has(what: string): boolean {
    return this.#gaps.has(what)
  }

  doubt(message: string, { file, line, field }: Place): void {
    this.#doubts.set(`${file}:${line} ${field} ${message}`, { message, file, line, field })
  }

  /** By kind, then by name. */
  result(): { readonly gaps: readonly Gap[]; readonly doubts: readonly Doubt[] } {
    const gaps = [...this.#gaps.values()].map(({ askedBy, ...gap }) => ({
      ...gap,
      askedBy: [...askedBy.values()].sort(comparePlaces),
    }))
    return {
      gaps: gaps.sort((a, b) => compare(a.kind, b.kind) || compare(a.what, b.what)),
      doubts: [...this.#doubts.values()].sort((a, b) => comparePlaces(a, b) || compare(a.message, b.message)),
    }
  }
}

function comparePlaces(a: Place, b: Place): number {
  return compare(a.file, b.file) || a.line - b.line || compare(a.field, b.field)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** `file:line field`, as the Metadata has it. */
export function parsePlace(text: string): Place {
  const [, file = text, line = '0', field = ''] = /^(.+?):(\d+)(?: (.*))?$/s.exec(text) ?? []
  return { file, line: Number(line), field }
}

/** Of a text's first occurrence; 0 where there is none. */
export function lineOfText(text: string, part: string): number {
  const at = text.indexOf(part)
  return at < 0 ? 0 : text.slice(0, at).split('\n').length
}
