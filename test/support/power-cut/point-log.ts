/** What became of many points: each is told as it ends, all failures together at the end. */
export class PointLog {
  readonly #what: string
  readonly #failures: string[] = []
  readonly #seconds: number[] = []

  constructor(what: string) {
    this.#what = what
  }

  /** @param work says what else is worth knowing. */
  async point(name: string, work: () => Promise<string>): Promise<void> {
    const begun = performance.now()
    const outcome = await work().catch((error: unknown) => {
      this.#failures.push(`${name}: ${error instanceof Error ? error.stack : String(error)}`)
      return 'FAILED'
    })
    const seconds = (performance.now() - begun) / 1000
    this.#seconds.push(seconds)
    console.log(`${this.#what}, ${name}: ${outcome}, ${seconds.toFixed(1)} s`)
  }

  /** Tells the figures, and gives every failure. @param all how many points there are, tried or not. */
  end(all: number): readonly string[] {
    const sorted = this.#seconds.toSorted((a, b) => a - b)
    const median = sorted[Math.floor(sorted.length / 2)]?.toFixed(1)
    const counts = `${sorted.length} of ${all} points, ${this.#failures.length} failures`
    console.log(`${this.#what}: ${counts}, ${median} s each (median), ${sorted.at(-1)?.toFixed(1)} s at most`)
    return this.#failures
  }
}
