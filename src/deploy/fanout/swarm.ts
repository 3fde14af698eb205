import type { Digest } from '../../core/digest.ts'

/** Who may give a file to whom. Without a peer it is the operator who sends it. */
export interface Grant {
  readonly digest: Digest
  readonly receiver: string
  readonly peer: string | undefined
}

export type Ending = 'done' | 'failed' | 'lied'

interface Waiter {
  readonly receiver: string
  /** Peers that it has tried in vain. */
  readonly avoid: ReadonlySet<string>
  readonly canServe: boolean
  /** It leaves the operator's turn to those who will pass the file on. */
  isPatient: boolean
  readonly enter: (grant: Grant) => void
}

interface Peer {
  readonly name: string
  readonly files: Set<Digest>
  /** What it is giving; those that are overdue are not waited for. */
  readonly giving: Map<Grant, 'in time' | 'overdue'>
  /** Receivers that could not take from it, since one last could. */
  readonly failedFor: Set<string>
}

/** A slow receiver does not keep its peer from others, but no peer serves more at once than this. */
const mostAtOnce = 4
/** So many receivers in a row make a peer one that cannot be reached. */
const mostFailures = 2
/** Where so many peers were lost and none ever served, hosts do not reach each other here. */
const mostFutile = 3

/**
 * The order in which files go from host to host: the operator sends each file once, whoever has it passes it on to one host after
 * the other, so that with every round twice as many have it. Knows neither time nor machines: whoever uses it says what came about.
 */
export class Swarm {
  readonly #servers: ReadonlySet<string>
  readonly #peers = new Map<string, Peer>()
  /** Names of peers by what they have. */
  readonly #holders = new Map<Digest, Set<string>>()
  readonly #lost = new Set<string>()
  readonly #waiting = new Map<Digest, Set<Waiter>>()
  /** What the operator is sending. */
  readonly #seeds = new Map<Grant, 'in time' | 'overdue'>()
  #hasServed = false

  /** @param servers hosts that can pass files on, once they have any. */
  constructor(servers: Iterable<string>) {
    this.#servers = new Set(servers)
  }

  /** The host has the file now, whole and verified. */
  have(digest: Digest, host: string): void {
    if (!this.#servers.has(host) || this.#lost.has(host)) return
    const peer = this.#peers.get(host) ?? { name: host, files: new Set(), giving: new Map(), failedFor: new Set() }
    peer.files.add(digest)
    this.#peers.set(host, peer)
    this.#holders.set(digest, (this.#holders.get(digest) ?? new Set()).add(host))
    this.#offer(peer)
  }

  /** It can no longer be asked. */
  lose(host: string): void {
    this.#lost.add(host)
    this.#peers.delete(host)
    for (const holders of this.#holders.values()) holders.delete(host)
    for (const digest of this.#waiting.keys()) this.#seed(digest)
  }

  /** Waits for a turn. @throws the signal's reason once it is aborted. */
  async ask(digest: Digest, receiver: string, avoid: ReadonlySet<string>, signal: AbortSignal): Promise<Grant> {
    signal.throwIfAborted()
    const queue = this.#waiting.get(digest) ?? new Set()
    this.#waiting.set(digest, queue)
    return await new Promise<Grant>((resolve, reject) => {
      const leave = (): void => {
        queue.delete(waiter)
        reject(signal.reason as Error)
      }
      const enter = (grant: Grant): void => {
        queue.delete(waiter)
        signal.removeEventListener('abort', leave)
        resolve(grant)
      }
      const canServe = this.#servers.has(receiver)
      const waiter = { receiver, avoid, canServe, isPatient: !canServe, enter }
      signal.addEventListener('abort', leave, { once: true })
      queue.add(waiter)
      for (const name of this.#holders.get(digest) ?? [])
        if (this.#offer(this.#peers.get(name)!) && !queue.has(waiter)) return
      this.#seed(digest)
    })
  }

  /** It has waited for long: the operator may as well send it the file. */
  insist(digest: Digest, receiver: string): void {
    for (const waiter of this.#waiting.get(digest) ?? []) if (waiter.receiver === receiver) waiter.isPatient = false
    this.#seed(digest)
  }

  /** It takes longer than others did: from now on nobody waits for it. */
  overdue(grant: Grant): void {
    const peer = this.#peers.get(grant.peer ?? '')
    if (peer?.giving.has(grant) === true) {
      peer.giving.set(grant, 'overdue')
      this.#offer(peer)
    }
    if (this.#seeds.has(grant)) {
      this.#seeds.set(grant, 'overdue')
      this.#seed(grant.digest)
    }
  }

  end(grant: Grant, ending: Ending): void {
    this.#seeds.delete(grant)
    const peer = this.#peers.get(grant.peer ?? '')
    peer?.giving.delete(grant)
    if (grant.peer !== undefined && ending === 'done') this.#hasServed = true
    if (peer !== undefined && ending === 'done') peer.failedFor.clear()
    if (peer !== undefined && ending !== 'done') {
      peer.failedFor.add(grant.receiver)
      if (ending === 'lied' || peer.failedFor.size >= mostFailures) this.lose(peer.name)
    }
    if (peer !== undefined && this.#peers.has(peer.name)) this.#offer(peer)
    this.#seed(grant.digest)
  }

  /** Gives its next turn away, if it is free and somebody can use it. Hosts that may serve come first: they make it quicker for all. */
  #offer(peer: Peer): boolean {
    const states = [...peer.giving.values()]
    if (states.includes('in time') || states.length >= mostAtOnce) return false
    for (const canServe of [true, false])
      for (const digest of peer.files)
        for (const waiter of this.#waiting.get(digest) ?? []) {
          if (waiter.canServe !== canServe || waiter.avoid.has(peer.name)) continue
          const grant = { digest, receiver: waiter.receiver, peer: peer.name }
          peer.giving.set(grant, 'in time')
          waiter.enter(grant)
          return true
        }
    return false
  }

  /** Where nobody has the file whom a waiting host could ask, the operator sends it: to one host, to a second if that takes too long. */
  #seed(digest: Digest): void {
    for (const canServe of [true, false])
      for (const waiter of this.#waiting.get(digest) ?? []) {
        if (waiter.canServe !== canServe || !this.#maySeed(digest, waiter)) continue
        const grant = { digest, receiver: waiter.receiver, peer: undefined }
        this.#seeds.set(grant, 'in time')
        waiter.enter(grant)
      }
  }

  #maySeed(digest: Digest, { avoid, isPatient }: Waiter): boolean {
    if (!this.#hasServed && this.#lost.size >= mostFutile) return true
    if (isPatient) return false
    const holders = this.#holders.get(digest) ?? new Set()
    if (holders.size > avoid.size || [...holders].some(name => !avoid.has(name))) return false
    const seeds = [...this.#seeds].filter(([grant]) => grant.digest === digest)
    return seeds.length < 2 && seeds.every(([, state]) => state === 'overdue')
  }
}
