import { MiB } from '../../core/bytes.ts'
import type { Context, Task } from '../../core/context.ts'
import { type Digest, hexOf } from '../../core/digest.ts'
import { CloudimgError, isCloudimgError, reasonOf } from '../../core/error.ts'
import { Gate } from '../../core/gate.ts'
import type { Host, UploadFile } from '../../host/host.ts'
import { largeBytes } from '../missing-files.ts'
import { onHosts } from '../on-hosts.ts'
import type { SituatedNode } from '../situation.ts'
import { after, type Clock, within } from '../waiting.ts'
import { closeEndpoint, type Endpoint, openEndpoint, share } from './endpoint.ts'
import { bytesFetched, fetchFile } from './fetch-file.ts'
import { type Grant, Swarm } from './swarm.ts'

export interface FanOutOptions {
  readonly nodes: readonly SituatedNode[]
  readonly hosts: ReadonlyMap<string, Host>
  /** How many hosts the operator sends to at once. */
  readonly concurrency: number
  readonly clock: Clock
}

/** Peers that a host tries for one file before the operator sends it. */
const mostPeers = 3

/** What has not come at this rate is late, as long as nothing tells how quick it can be. */
const slowBytesPerSecond = 4 * MiB
const graceSeconds = 30

/** Between two looks at a fetch that is under way. */
const lookMs = 5000

/**
 * Files from host to host, for one operation. What is served, by whom and where, is the operation's own like its lock: it is opened
 * when the first receiver comes, closed when the operation ends, and ends by itself where the operator died (ADR 10).
 */
export class FanOut {
  readonly #options: FanOutOptions
  readonly #nodes: ReadonlyMap<string, SituatedNode>
  readonly #swarm: Swarm
  readonly #direct: Gate
  /** Where each host has what it could pass on. */
  readonly #paths = new Map<string, Map<Digest, string>>()
  readonly #endpoints = new Map<string, Promise<Endpoint>>()
  readonly #shared = new Map<string, Promise<void>>()
  /** The shortest time that each file has taken, in milliseconds. */
  readonly #fastest = new Map<Digest, number>()
  #following = 0

  constructor(options: FanOutOptions) {
    const { nodes, concurrency } = options
    this.#options = options
    this.#nodes = new Map(nodes.map(node => [node.host, node]))
    this.#swarm = new Swarm(nodes.filter(node => node.facts.http.servers.length > 0).map(node => node.host))
    this.#direct = new Gate(concurrency)
    for (const node of nodes)
      for (const file of node.tree)
        if (file.type === 'file' && file.size >= largeBytes)
          if (node.staged || node.present.get(file.path) === file.digest)
            this.have(node.host, file.digest, `${node.rootfs.directory}/${file.path}`)
  }

  /** The host has this file, whole and verified: it may pass it on from now on. */
  have(host: string, digest: Digest, path: string): void {
    const paths = this.#paths.get(host) ?? new Map<Digest, string>()
    this.#paths.set(host, paths.set(digest, path))
    this.#swarm.have(digest, host)
  }

  /** Brings a file to a host, from a peer if it `mayFetch`. */
  async bring(
    file: UploadFile,
    host: Host,
    mayFetch: boolean,
    ctx: Context,
    task: Task,
  ): Promise<'sent' | 'unchanged'> {
    const avoid = new Set<string>()
    const outcome = mayFetch ? await this.#turns(file, host, avoid, ctx, task) : await this.#send(file, host, ctx, task)
    this.have(host.name, file.digest, file.to)
    return outcome
  }

  /** Ends all that was opened, and what an earlier run of the operation has left. */
  async close(ctx: Context): Promise<void> {
    const { nodes, hosts, clock } = this.#options
    await within(20_000, clock, async signal => {
      const close = (node: SituatedNode): Promise<void> => closeEndpoint(hosts.get(node.host)!, { ...ctx, signal })
      await onHosts(nodes, nodes.length, node => node.host, close)
    }).catch((error: unknown) =>
      ctx.events({ kind: 'warning', code: 'fan-out', message: `closing what hosts served: ${reasonOf(error)}` }),
    )
  }

  /** Peer after peer, then the operator. */
  async #turns(
    file: UploadFile,
    host: Host,
    avoid: Set<string>,
    ctx: Context,
    task: Task,
  ): Promise<'sent' | 'unchanged'> {
    while (avoid.size < mostPeers) {
      const grant = await this.#ask(file, host.name, avoid, ctx)
      if (grant.peer === undefined) return await this.#timed(grant, file, () => this.#send(file, host, ctx, task))
      avoid.add(grant.peer)
      if (await this.#take(grant, grant.peer, file, host, ctx, task)) return 'sent'
    }
    return await this.#send(file, host, ctx, task)
  }

  async #ask(file: UploadFile, receiver: string, avoid: ReadonlySet<string>, ctx: Context): Promise<Grant> {
    const insist = (): void => this.#swarm.insist(file.digest, receiver)
    const letGo = after(patienceMs(file.size), this.#options.clock, insist)
    try {
      return await this.#swarm.ask(file.digest, receiver, avoid, ctx.signal)
    } finally {
      await letGo()
    }
  }

  /** False where the peer did not give it: another one may. */
  async #take(grant: Grant, peer: string, file: UploadFile, host: Host, ctx: Context, task: Task): Promise<boolean> {
    const client = this.#nodes.get(host.name)?.facts.http.clients[0]
    if (client === undefined)
      throw new CloudimgError('BUG', `fetching "${file.to}" on "${host.name}": it has no program that fetches`)
    try {
      await this.#timed(grant, file, async () => {
        const endpoint = await this.#endpoint(peer, file.digest, ctx)
        const from = { ...endpoint, client, seconds: this.#limitSeconds(file) }
        await this.#followed(file, host, ctx, task, () => fetchFile(host, file, from, ctx))
      })
      task.progress(file.size, file.size)
      return true
    } catch (error) {
      if (!isCloudimgError(error) || !['COMMAND_FAILED', 'DIGEST_MISMATCH'].includes(error.code)) throw error
      const message = `${host.name} does not get "${file.to}" from ${peer}: ${reasonOf(error)}; asking another`
      ctx.events({ kind: 'warning', code: 'fan-out', message })
      return false
    }
  }

  /** Carries a grant out. Who takes more than twice as long as the quickest did is not waited for. */
  async #timed<T>(grant: Grant, file: UploadFile, work: () => Promise<T>): Promise<T> {
    const { clock } = this.#options
    const begun = clock.now()
    const fastest = this.#fastest.get(file.digest)
    const late = fastest === undefined ? patienceMs(file.size) : fastest * 2 + 1000
    const letGo = after(late, clock, () => this.#swarm.overdue(grant))
    try {
      const result = await work()
      this.#fastest.set(file.digest, Math.min(fastest ?? Infinity, clock.now() - begun))
      // First, or somebody would be sent what can be had here now.
      this.have(grant.receiver, file.digest, file.to)
      this.#swarm.end(grant, 'done')
      return result
    } catch (error) {
      this.#swarm.end(grant, isCloudimgError(error, 'DIGEST_MISMATCH') ? 'lied' : 'failed')
      throw error
    } finally {
      await letGo()
    }
  }

  /** Tells from time to time how far a fetch is; of no more of them at once than the operator sends to. */
  async #followed(file: UploadFile, host: Host, ctx: Context, task: Task, work: () => Promise<void>): Promise<void> {
    const { clock, concurrency } = this.#options
    task.progress(0, file.size)
    if (this.#following >= concurrency) return await work()
    this.#following++
    const done = new AbortController()
    const follow = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(lookMs, done.signal)
        task.progress(await bytesFetched(host, file, ctx), file.size)
      }
    }
    // It ends by its signal; what a look misses, the fetch itself will say.
    const following = follow().catch(() => undefined)
    try {
      await work()
    } finally {
      done.abort('let go of')
      await following
      this.#following--
    }
  }

  #limitSeconds({ digest, size }: UploadFile): number {
    const fastest = this.#fastest.get(digest)
    return Math.ceil(fastest === undefined ? patienceMs(size) / 1000 : graceSeconds + (4 * fastest) / 1000)
  }

  async #send(file: UploadFile, host: Host, ctx: Context, task: Task): Promise<'sent' | 'unchanged'> {
    return await this.#direct.run(() => host.upload(file, ctx, sent => task.progress(sent, file.size)))
  }

  /** Opened when the first one asks: most hosts never serve. */
  async #endpoint(peer: string, digest: Digest, ctx: Context): Promise<Endpoint> {
    const host = this.#options.hosts.get(peer)!
    const { address, facts } = this.#nodes.get(peer)!
    const wish = { address, server: facts.http.servers[0]! }
    const open = this.#endpoints.get(peer) ?? openEndpoint(host, wish, ctx)
    this.#endpoints.set(peer, open)
    try {
      const endpoint = await open
      const key = `${peer} ${hexOf(digest)}`
      const shared = this.#shared.get(key) ?? share(host, this.#paths.get(peer)!.get(digest)!, digest, ctx)
      this.#shared.set(key, shared)
      await shared
      return endpoint
    } catch (error) {
      if (isCloudimgError(error, 'CANCELLED')) throw error
      this.#swarm.lose(peer)
      // Whatever is wrong with the peer is nothing against the one that asked.
      throw new CloudimgError('COMMAND_FAILED', `it does not serve: ${reasonOf(error)}`, { cause: error })
    }
  }
}

function patienceMs(size: number): number {
  return (graceSeconds + size / slowBytesPerSecond) * 1000
}
