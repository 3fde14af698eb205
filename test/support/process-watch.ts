import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Looks at the arguments and the environment of every process of this machine, hosts of a lab included, again and again. A process that
 * lives for less than a look is not seen.
 */
export class ProcessWatch {
  readonly #seen = new Set<string>()
  /** How often each process was read: it may still have been its parent's copy at first. */
  #known = new Map<string, number>()
  #running = true
  readonly #ended: Promise<void>

  constructor() {
    this.#ended = this.#watch()
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#ended
  }

  get size(): number {
    return this.#seen.size
  }

  /** What was seen of processes with any of these texts, without the texts themselves. */
  holding(secrets: readonly string[]): readonly string[] {
    return [...this.#seen].flatMap(text => {
      const secret = secrets.find(value => text.includes(value))
      return secret === undefined ? [] : [text.replaceAll(secret, '…').slice(0, 500)]
    })
  }

  async #watch(): Promise<void> {
    while (this.#running) {
      this.#look()
      await sleep(25)
    }
  }

  #look(): void {
    const now = new Map<string, number>()
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid)) continue
      const reads = this.#known.get(pid) ?? 0
      now.set(pid, reads + 1)
      // A long-lived one is read now and then: its number may be another process's by now.
      if (reads > 3 && reads % 40 !== 0) continue
      const text = `${read(pid, 'cmdline')}\n${read(pid, 'environ')}`
      if (text !== '\n') this.#seen.add(text)
    }
    this.#known = now
  }
}

/** Empty where the process has gone meanwhile. */
function read(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
