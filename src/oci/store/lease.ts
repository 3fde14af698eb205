import { randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, rmSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, hexOf } from '../../core/digest.ts'
import { errnoOf } from '../../core/error.ts'
import { fileError } from '../../io/files.ts'
import { ownIdentity } from '../../io/process-identity.ts'
import type { StoreLayout } from './layout.ts'
import { sweepsEnded } from './sweep.ts'

/** A lease of a process that cannot be looked at (another machine, another container) counts while it is this fresh. */
export const heartbeatMs = 60_000

const open = new Set<Lease>()
process.once('exit', () => open.forEach(lease => lease.close()))

/**
 * What this process relies on in the store, written down before it looks whether it is there: gc leaves it alone
 * (docs/adr/0006-leases.md). One line for each digest in a file of the process's own, which goes when the process ends;
 * that of a killed one goes with the next gc.
 */
export class Lease {
  readonly #directory: string
  readonly #sweeps: string
  readonly #path: string
  readonly #forgetMs: number
  readonly #pins = new Map<Digest, { readonly since: number; readonly written: Promise<void> }>()
  #pending: Digest[] = []
  #flush: Promise<void> | undefined
  #heart: NodeJS.Timeout | undefined

  /** `forgetMs`: for processes that run for ever; what they have not used for so long they no longer rely on. */
  constructor(layout: StoreLayout, forgetMs = 0) {
    this.#directory = layout.leases
    this.#sweeps = layout.sweeps
    this.#forgetMs = forgetMs
    const name = `${ownIdentity()}.${randomBytes(4).toString('hex')}.${Math.ceil(forgetMs / 1000)}`
    this.#path = join(layout.leases, name)
  }

  /**
   * Whatever is there of it when this returns stays until the process ends. Waits for a sweep that is under way.
   * @throws DISK_FULL where it cannot be written down; STORE_LOCKED where a sweep does not end.
   */
  async pin(digests: readonly Digest[]): Promise<void> {
    const now = Date.now()
    for (const digest of digests) {
      const pinned = this.#pins.get(digest)
      if (pinned !== undefined && (this.#forgetMs === 0 || now - pinned.since < this.#forgetMs / 2)) continue
      this.#pending.push(digest)
      // What is asked for side by side becomes one write.
      this.#flush ??= Promise.resolve().then(() => this.#write())
      this.#pins.set(digest, { since: now, written: this.#flush })
    }
    for (const digest of digests) await this.#pins.get(digest)?.written
  }

  async #write(): Promise<void> {
    const digests = this.#pending
    this.#pending = []
    this.#flush = undefined
    try {
      this.#append(digests)
    } catch (error) {
      digests.forEach(digest => this.#pins.delete(digest))
      // Nobody can sweep what is read-only, and a reader without the right to write asks nobody.
      if (['EROFS', 'EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) return
      throw fileError('writing', this.#path, error)
    }
    await sweepsEnded(this.#sweeps)
  }

  #append(digests: readonly Digest[]): void {
    const now = Math.floor(Date.now() / 1000)
    if (this.#heart === undefined) {
      makeDirectory(this.#directory)
      this.#heart = setInterval(() => this.#beat(), heartbeatMs).unref()
      open.add(this)
    }
    appendFileSync(this.#path, digests.map(digest => `${hexOf(digest)} ${now}\n`).join(''))
  }

  #beat(): void {
    try {
      utimesSync(this.#path, new Date(), new Date())
    } catch {
      // Only others' view of us grows old.
    }
  }

  close(): void {
    clearInterval(this.#heart)
    open.delete(this)
    this.#pins.clear()
    try {
      rmSync(this.#path, { force: true })
    } catch {
      // The next gc finds that we are gone.
    }
  }
}

// Not with `recursive`: on a read-only file system that says ENOENT.
function makeDirectory(path: string): void {
  try {
    mkdirSync(path)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
}
