import { SimClock } from './sim-clock.ts'
import type { SimCluster } from './sim-cluster.ts'
import type { Readable } from 'node:stream'
import type { Digest } from '../../src/core/digest.ts'
import { readTar } from '../../src/io/tar.ts'
import { digestOfBuffer, type SimFile, SimHost } from './sim-host.ts'
import type { SimNetwork } from './sim-network.ts'
import type { SimRegistry } from './sim-registry.ts'

/** What a killed cloudimg sees of the world from then on: nothing. */
export class Killed extends Error {}

/** A model of machines, of what the installer does to them, and of the cluster that they make. */
export class SimWorld {
  readonly clock = new SimClock()
  readonly hosts = new Map<string, SimHost>()
  /** What every node has, by name. */
  readonly images: string[]
  /** Undefined before there is one, and after the last of its servers was wiped. */
  cluster: SimCluster | undefined
  /** Links with latency and limits; none unless set: everything is there at once. */
  network: SimNetwork | undefined
  /** How long the installer's verbs take; no time unless set. */
  verbSeconds: Readonly<Record<string, number>> = {}
  /** What is to go wrong when a host is reached. */
  trouble: (host: SimHost) => void = () => undefined
  /** By digest: what many hosts have lies in memory once. */
  readonly contents = new Map<Digest, Buffer>()
  /** The registry of a URL; undefined where nobody answers. */
  registry: SimRegistry | undefined
  /** Every state of a cluster that some disk may have, by generation. */
  readonly generations = new Map<string, SimCluster>()
  /** Datastores that no host of this world has, by their URL. */
  readonly outside = new Map<string, SimCluster>()
  calls = 0
  /** The call that first changed a host. */
  firstChange: number | undefined
  /** Every change of every host, `HOST: CHANGE`, in the order of time. */
  readonly order: string[] = []
  /** The call at which the operator is killed, and on which side of its effect. */
  killAt: { readonly call: number; readonly side: 'before' | 'after' } | undefined
  onKill: () => void = () => undefined
  isDead = false
  readonly #byNode = new Map<string, SimHost>()

  constructor(names: readonly string[], images: readonly string[]) {
    this.images = [...images]
    for (const [index, name] of names.entries()) {
      const host = new SimHost(this, name, index)
      this.hosts.set(name, host)
      this.#byNode.set(host.nodeName, host)
    }
  }

  /** Another world that is as this one is. */
  clone(): SimWorld {
    const world = new SimWorld([...this.hosts.keys()], this.images)
    for (const [name, host] of this.hosts) world.hosts.get(name)!.copyFrom(host)
    world.cluster = this.cluster?.clone()
    world.registry = this.registry?.clone()
    for (const [id, cluster] of this.generations) world.generations.set(id, cluster.clone())
    for (const [url, cluster] of this.outside) world.outside.set(url, cluster.clone())
    world.cluster = [...world.generations.values(), ...world.outside.values()].find(
      cluster => cluster.generation === this.cluster?.generation,
    )
    return world
  }

  /** Gives a state of a cluster its generation. */
  keep(cluster: SimCluster): SimCluster {
    cluster.generation = `g${this.generations.size + this.outside.size + 1}`
    this.generations.set(cluster.generation, cluster)
    return cluster
  }

  /** Node name → node. */
  get nodes(): SimCluster['nodes'] {
    return this.cluster?.nodes ?? new Map()
  }

  hostNamed(node: string): SimHost | undefined {
    return this.#byNode.get(node)
  }

  /** Another process of the operator: alive again. */
  revive(): void {
    this.isDead = false
    this.killAt = undefined
    this.calls = 0
  }

  async readTar(tar: Readable): Promise<readonly (readonly [string, SimFile])[]> {
    const entries: [string, SimFile][] = []
    for await (const entry of readTar(tar, 'the stream')) {
      if (entry.type !== 'file') continue
      const chunks: Buffer[] = []
      for await (const chunk of entry.content()) chunks.push(Buffer.from(chunk))
      const content = Buffer.concat(chunks)
      const digest = digestOfBuffer(content)
      this.contents.set(digest, this.contents.get(digest) ?? content)
      entries.push([entry.path, { content: this.contents.get(digest)!, mode: entry.mode }])
    }
    return entries
  }

  async effect<T>(work: () => T | Promise<T>): Promise<T> {
    if (this.isDead) throw new Killed()
    const call = ++this.calls
    if (this.killAt?.call === call && this.killAt.side === 'before') this.#die()
    const result = await work()
    if (this.killAt?.call === call && this.killAt.side === 'after') this.#die()
    return result
  }

  #die(): never {
    this.isDead = true
    this.onKill()
    throw new Killed()
  }

  clusterId(): string {
    return (JSON.parse(this.server().text('/var/lib/cloudimg/node.json')!) as { cluster: string }).cluster
  }

  server(): SimHost {
    return [...this.hosts.values()][0]!
  }

  changes(): readonly string[] {
    return [...this.hosts.values()].flatMap(host => host.changes)
  }

  /** All that matters of all machines, secrets hidden: equal for two worlds in which the same was brought about. */
  state(): unknown {
    const { cluster } = this
    return {
      hosts: [...this.hosts.values()].map(host => host.state()),
      nodes: [...(cluster?.nodes.values() ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1)),
      members: [...(cluster?.members ?? [])].sort(),
      pushed: this.registry?.contents() ?? [],
      datastore: cluster?.datastore,
      applied: cluster?.applied ?? [],
    }
  }
}

export { tokenOf } from './sim-host.ts'
