import type { Discovery, ChartReading, Guess, GuessReason, Place, Unreadable, UnreadableReason } from './discovery.ts'
import type { ImageRequest } from './image-request.ts'
import { fullName, readName } from './image-name.ts'
import type { TextValue, Value } from './value.ts'
import { lineOf } from './value.ts'

/** Gathers what is found, in whatever order. */
export class Findings {
  readonly #requests: ImageRequest[] = []
  readonly #guesses: Guess[] = []
  readonly #unreadable: Unreadable[] = []
  readonly #charts: ChartReading[] = []

  /** How many images are asked for so far. */
  get certain(): number {
    return this.#requests.length
  }

  request(image: string, place: Place): void {
    this.#requests.push({ image: fullName(image), file: place.file, line: place.line, field: place.field })
  }

  add(requests: readonly ImageRequest[]): void {
    this.#requests.push(...requests)
  }

  guess(text: string, why: GuessReason, place: Place): void {
    this.#guesses.push({ text, file: place.file, line: place.line, field: place.field, why })
  }

  cannotRead(why: UnreadableReason, file: string, line: number): void {
    this.#unreadable.push({ file, line, why })
  }

  chart(reading: ChartReading): void {
    this.#charts.push(reading)
  }

  merge(other: Findings): void {
    this.#requests.push(...other.#requests)
    this.#guesses.push(...other.#guesses)
    this.#unreadable.push(...other.#unreadable)
  }

  /** A value under a name that means an image: certain when complete. */
  named(value: TextValue, text = value.text, offset = 0): void {
    const place = placeOf(value, offset)
    switch (readName(text)) {
      case 'variable':
        return this.guess(text.trim(), 'variable', place)
      case 'complete':
      case 'qualified':
        return this.request(text.trim(), place)
      case 'bare':
        return this.guess(text.trim(), 'no-version', place)
      case 'none':
    }
  }

  /** A value under a name that means several: `REF` or `KEY=REF`, between commas, blanks and line ends. */
  namedList(value: TextValue, text = value.text): void {
    const shift = value.text.length - text.length
    for (const { 0: part, index } of text.matchAll(/[^,\s]+/g))
      this.named(value, part.slice(part.lastIndexOf('=') + 1), shift + index)
  }

  /** A value under any other name: only what is an image by its shape. */
  shaped(value: TextValue, text = value.text): void {
    if (readName(text) === 'qualified') this.request(text, placeOf(value))
  }

  result(): Discovery {
    return {
      requests: sorted(this.#requests, ({ image }) => image),
      guesses: sorted(this.#guesses, ({ text }) => text),
      unreadable: sorted(
        this.#unreadable.map(found => ({ ...found, field: '' })),
        ({ why }) => why,
      ).map(({ file, line, why }) => ({ file, line, why })),
      charts: [...this.#charts].sort((a, b) => (a.chart < b.chart ? -1 : 1)),
    }
  }
}

export function placeOf(value: Value, offset = 0): Place {
  return { file: value.file, line: lineOf(value, offset), field: value.field }
}

function sorted<T extends Place>(items: readonly T[], textOf: (item: T) => string): T[] {
  const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
  return [...items].sort(
    (a, b) => compare(a.file, b.file) || a.line - b.line || compare(a.field, b.field) || compare(textOf(a), textOf(b)),
  )
}
