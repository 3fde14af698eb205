import type { Clock, Pace } from '../../src/deploy/waiting.ts'

interface Timer {
  readonly at: number
  /** Of two timers for the same moment the older one comes first. */
  readonly number: number
  /** Undefined once it was let go of. */
  ring: (() => void) | undefined
}

/**
 * Time that passes only while everybody sleeps: when no work is left to do, not even with the disk, it leaps to the next moment
 * for which somebody waits. So a day takes no time, and the same story has the same times on every machine.
 */
export class SimClock implements Clock {
  /** It begins today, as certificates and locks that tests make are of today; only what passes from there counts. */
  readonly #dawn = Date.now()
  #now = this.#dawn
  #number = 0
  readonly #timers: Timer[] = []
  #isTurning = false

  now(): number {
    return this.#now
  }

  /** Since the simulation began. */
  get seconds(): number {
    return (this.#now - this.#dawn) / 1000
  }

  async sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const cancel = this.at(this.#now + Math.max(0, milliseconds), () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      })
      const abort = (): void => {
        cancel()
        reject(signal!.reason as Error)
      }
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /** Calls back at a moment. Returns what lets go of it. */
  at(moment: number, ring: () => void): () => void {
    const timer: Timer = { at: moment, number: this.#number++, ring }
    push(this.#timers, timer)
    if (!this.#isTurning) {
      this.#isTurning = true
      setImmediate(() => this.#turn())
    }
    return () => (timer.ring = undefined)
  }

  #turn(): void {
    if (!isDiskBusy()) this.#leap()
    while (this.#timers.length > 0 && this.#timers[0]!.ring === undefined) pop(this.#timers)
    this.#isTurning = this.#timers.length > 0
    if (this.#isTurning) setImmediate(() => this.#turn())
  }

  #leap(): void {
    let rang: number | undefined
    for (let next = this.#timers[0]; next !== undefined; next = this.#timers[0]) {
      if (next.ring !== undefined && rang !== undefined && next.at > rang) return
      pop(this.#timers)
      if (next.ring === undefined) continue
      this.#now = rang = Math.max(this.#now, next.at)
      next.ring()
    }
  }
}

/** As in life: two seconds between two looks, and clusters that are left to settle. */
export function simPace(clock: SimClock): Pace {
  return {
    now: () => clock.now(),
    sleep: (milliseconds, signal) => clock.sleep(milliseconds, signal),
    pollMs: 2000,
    settling: 1,
  }
}

/** Journals are written to a real disk: what waits for it is at work. */
function isDiskBusy(): boolean {
  return process.getActiveResourcesInfo().some(kind => kind.startsWith('FSReq') || kind === 'CloseReq')
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.number < b.number)
}

// A binary heap: the first to ring stands first.
function push(heap: Timer[], timer: Timer): void {
  let at = heap.push(timer) - 1
  while (at > 0) {
    const above = (at - 1) >> 1
    if (!isBefore(timer, heap[above]!)) break
    heap[at] = heap[above]!
    at = above
  }
  heap[at] = timer
}

function pop(heap: Timer[]): void {
  const last = heap.pop()!
  if (heap.length === 0) return
  let at = 0
  for (;;) {
    let below = at * 2 + 1
    if (below >= heap.length) break
    if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++
    if (!isBefore(heap[below]!, last)) break
    heap[at] = heap[below]!
    at = below
  }
  heap[at] = last
}
