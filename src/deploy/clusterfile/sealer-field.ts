import type { Diagnostic } from '../../core/diagnostic.ts'
import type { Locate, Path } from './source-text.ts'

/** Where a value of a Clusterfile that was made from another file comes from. */
export interface Origin {
  readonly path: Path
  readonly locate: Locate
}

/** What is gathered while a file of sealer is read. */
export interface Reading {
  readonly notes: Diagnostic[]
  /** By path in the Clusterfile, its keys joined by NUL. */
  readonly origins: Map<string, Origin>
}

/** A place in a file of sealer. Whatever is not taken out of a map is told of, by `rest`. */
export class SealerField {
  readonly value: unknown
  readonly path: Path
  readonly #locate: Locate
  readonly #reading: Reading
  readonly #taken = new Set<string>()

  constructor(value: unknown, path: Path, locate: Locate, reading: Reading) {
    this.value = value
    this.path = path
    this.#locate = locate
    this.#reading = reading
  }

  /** The value of a key, which is thereby dealt with; undefined where there is none. */
  take(key: string): SealerField | undefined {
    const map = this.map()
    if (map === undefined || !(key in map)) return undefined
    this.#taken.add(key)
    const value = map[key]
    return value === null || value === undefined ? undefined : this.#child(key, value)
  }

  map(): Readonly<Record<string, unknown>> | undefined {
    const { value } = this
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  }

  items(): readonly SealerField[] {
    return Array.isArray(this.value) ? this.value.map((value, index) => this.#child(index, value)) : []
  }

  entries(): readonly (readonly [string, SealerField])[] {
    return Object.keys(this.map() ?? {}).map(key => [key, this.take(key) ?? this.#child(key, undefined)])
  }

  /** Scalars as texts; undefined for what is none. */
  text(): string | undefined {
    const { value } = this
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? String(value)
      : undefined
  }

  texts(): readonly string[] {
    return this.items().flatMap(item => item.text() ?? [])
  }

  /** Says that this has no counterpart. */
  note(message: string, hint?: string): void {
    const span = this.#locate(this.path, 'key')
    const more = hint === undefined ? {} : { hint }
    this.#reading.notes.push({ severity: 'warning', rule: 'sealer', message, span, ...more })
  }

  /** Says of every key that was not taken that it has no counterpart. */
  rest(): void {
    for (const key of Object.keys(this.map() ?? {}))
      if (!this.#taken.has(key)) this.#child(key, undefined).note(`"${key}" has no counterpart here, it is left out`)
  }

  /** A place of the Clusterfile came from here: that is where its mistakes are shown. */
  becomes(path: Path): this {
    this.#reading.origins.set(path.join('\0'), { path: this.path, locate: this.#locate })
    return this
  }

  #child(key: PropertyKey, value: unknown): SealerField {
    return new SealerField(value, [...this.path, key], this.#locate, this.#reading)
  }
}
