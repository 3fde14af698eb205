import { closeSync, constants, createReadStream, fstatSync, openSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { CloudimgError, errnoOf, isCloudimgError, reasonOf } from '../../core/error.ts'
import { run } from '../../io/exec.ts'

/** What a command was given from outside. */
export interface FetchedUrl {
  readonly url: string
  readonly digest: Digest
}

/** Fetches for the toolbox's curl and wget: `fetch` gives where the verified bytes lie. */
export type FetchForDesk = (
  url: string,
  ctx: Context,
) => Promise<{ readonly digest: Digest; readonly size: number; readonly path: string }>

/**
 * Answers the commands of one RUN. They ask by named pipes and not by a socket, because a POSIX shell can: so the same
 * two scripts work in any toolbox, whatever its libc and architecture, with nothing in it but a shell and a few
 * utilities. Nothing but verified bytes ever goes out.
 */
export class FetchDesk {
  readonly #directory: string
  readonly #fetch: FetchForDesk
  readonly #ctx: Context
  readonly #fetched = new Map<string, Digest>()
  readonly #answering = new Set<Promise<void>>()
  readonly #closed = new AbortController()
  #asked: Socket | undefined
  #failure: CloudimgError | undefined

  constructor(directory: string, fetch: FetchForDesk, ctx: Context) {
    this.#directory = directory
    this.#fetch = fetch
    this.#ctx = { ...ctx, signal: AbortSignal.any([ctx.signal, this.#closed.signal]) }
  }

  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true })
    const ask = join(this.#directory, 'ask')
    const { code, stderr } = await run(['mkfifo', '-m', '666', ask], {}, this.#ctx)
    if (code !== 0) throw new CloudimgError('FILE_ERROR', `making the pipe "${ask}": ${stderr.trim()}`)
    const { code: changed } = await run(['chmod', '1777', this.#directory], {}, this.#ctx)
    if (changed !== 0) throw new CloudimgError('FILE_ERROR', `opening "${this.#directory}" to the command`)
    // For reading and writing: it has a writer at all times, so it never ends.
    this.#asked = openPipe(ask, constants.O_RDWR)
    const lines = createInterface({ input: this.#asked, crlfDelay: Infinity })
    lines.on('line', line => this.#receive(line))
  }

  /** What was fetched, in the order of the addresses. */
  fetched(): readonly FetchedUrl[] {
    return [...this.#fetched].map(([url, digest]) => ({ url, digest })).sort((a, b) => (a.url < b.url ? -1 : 1))
  }

  /** Why the last request could not be met; what a failing command most likely fails of. */
  get failure(): CloudimgError | undefined {
    return this.#failure
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#asked?.destroy()
    await Promise.allSettled(this.#answering)
  }

  #receive(line: string): void {
    const [, name, url] = /^(\d+\.\d+)\t(\S+)$/.exec(line) ?? []
    if (name === undefined || url === undefined) return
    const answering = this.#answer(join(this.#directory, name), url).catch(() => {})
    this.#answering.add(answering)
    void answering.finally(() => this.#answering.delete(answering))
  }

  async #answer(pipe: string, url: string): Promise<void> {
    const found = await this.#find(url)
    const socket = await openAnswer(pipe, this.#ctx.signal)
    try {
      if ('error' in found) {
        socket.end(`error ${found.error}\n`)
        return
      }
      socket.write(`ok ${found.size}\n`)
      await pipeline(createReadStream(found.path), socket, { signal: this.#ctx.signal })
    } finally {
      if (!socket.writableEnded) socket.destroy()
    }
  }

  async #find(url: string): Promise<{ readonly path: string; readonly size: number } | { readonly error: string }> {
    try {
      const fetched = await this.#fetch(new URL(url).href, this.#ctx)
      this.#fetched.set(new URL(url).href, fetched.digest)
      return fetched
    } catch (error) {
      if (isCloudimgError(error)) this.#failure = error
      return { error: reasonOf(error).replace(/\s+/g, ' ') }
    }
  }
}

// Opened for writing only where somebody reads: the command may be gone already.
async function openAnswer(pipe: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    signal.throwIfAborted()
    try {
      return openPipe(pipe, constants.O_WRONLY)
    } catch (error) {
      if (errnoOf(error) !== 'ENXIO') throw error
      await sleep(10)
    }
  }
}

/** @throws for anything but a pipe: the command chooses what lies there. */
function openPipe(path: string, access: number): Socket {
  const fd = openSync(path, access | constants.O_NONBLOCK | constants.O_NOFOLLOW)
  if (!fstatSync(fd).isFIFO()) {
    closeSync(fd)
    throw new CloudimgError('FILE_ERROR', `answering a command: "${path}" is no pipe`)
  }
  const isReader = access === constants.O_RDWR
  const socket = new Socket({ fd, readable: isReader, writable: !isReader })
  // Who stops listening has got what it wanted.
  socket.on('error', () => {})
  return socket
}
