import type { SimClock } from './sim-clock.ts'

/** What a machine's link carries each way, in bytes per second. */
export interface LinkSpeed {
  readonly up: number
  readonly down: number
}

export const gigabit = 125_000_000

/** Below this a message is no transfer: it waits for its turn on the sender's link, and takes no share of it. */
const smallBytes = 256 * 1024

interface Flow {
  readonly from: string
  readonly to: string
  left: number
  rate: number
  since: number
  cancel: () => void
  readonly arrive: () => void
}

/** How the operator is called here. */
export const operator = 'the operator'

/**
 * Links between machines: each transfer gets an equal share of the sender's link and of the receiver's, whichever is less. Counts
 * what each machine sends.
 */
export class SimNetwork {
  readonly latencyMs: number
  readonly sent = new Map<string, number>()
  readonly #clock: SimClock
  readonly #speeds = new Map<string, LinkSpeed>()
  readonly #up = new Map<string, Set<Flow>>()
  readonly #down = new Map<string, Set<Flow>>()
  readonly #free = new Map<string, number>()

  constructor(clock: SimClock, latencyMs = 1) {
    this.#clock = clock
    this.latencyMs = latencyMs
  }

  setSpeed(machine: string, speed: LinkSpeed): void {
    this.#speeds.set(machine, speed)
  }

  /** A question and its answer. */
  async ask(from: string, bytes: number): Promise<void> {
    this.#count(from, bytes)
    const begin = Math.max(this.#clock.now(), this.#free.get(from) ?? 0)
    const end = begin + (bytes / this.#speed(from).up) * 1000
    this.#free.set(from, end)
    await this.#clock.sleep(end - this.#clock.now() + this.latencyMs)
  }

  /** Returns how many bytes have arrived: all, unless the time was over before. */
  async transfer(from: string, to: string, bytes: number, limitMs = Infinity): Promise<number> {
    if (bytes < smallBytes) {
      await this.ask(from, bytes)
      return bytes
    }
    const arrived = await new Promise<number>(resolve => {
      const end = (arrived: number): void => {
        cancelLimit?.()
        this.#leave(flow)
        resolve(arrived)
      }
      const flow: Flow = {
        from,
        to,
        left: bytes,
        rate: 0,
        since: this.#clock.now(),
        cancel: () => undefined,
        arrive: () => end(bytes),
      }
      const cut = (): void => {
        this.#progress(flow)
        flow.cancel()
        end(Math.floor(bytes - flow.left))
      }
      const cancelLimit = limitMs === Infinity ? undefined : this.#clock.at(this.#clock.now() + limitMs, cut)
      this.#enter(flow)
    })
    this.#count(from, arrived)
    return arrived
  }

  #count(from: string, bytes: number): void {
    this.sent.set(from, (this.sent.get(from) ?? 0) + bytes)
  }

  #speed(machine: string): LinkSpeed {
    return this.#speeds.get(machine) ?? { up: gigabit, down: gigabit }
  }

  #enter(flow: Flow): void {
    flowsOf(this.#up, flow.from).add(flow)
    flowsOf(this.#down, flow.to).add(flow)
    this.#share(flow)
  }

  #leave(flow: Flow): void {
    flowsOf(this.#up, flow.from).delete(flow)
    flowsOf(this.#down, flow.to).delete(flow)
    this.#share(flow)
  }

  /** Whoever uses one of its links gets another share now. */
  #share({ from, to }: Flow): void {
    for (const flow of new Set([...flowsOf(this.#up, from), ...flowsOf(this.#down, to)])) {
      this.#progress(flow)
      const up = this.#speed(flow.from).up / flowsOf(this.#up, flow.from).size
      const down = this.#speed(flow.to).down / flowsOf(this.#down, flow.to).size
      flow.rate = Math.min(up, down)
      flow.cancel()
      flow.cancel = this.#clock.at(this.#clock.now() + (flow.left / flow.rate) * 1000, flow.arrive)
    }
  }

  #progress(flow: Flow): void {
    const now = this.#clock.now()
    flow.left = Math.max(0, flow.left - (flow.rate * (now - flow.since)) / 1000)
    flow.since = now
  }
}

function flowsOf(links: Map<string, Set<Flow>>, machine: string): Set<Flow> {
  const flows = links.get(machine) ?? new Set<Flow>()
  links.set(machine, flows)
  return flows
}
