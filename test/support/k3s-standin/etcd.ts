import { join } from 'node:path'
import { ApiError } from './api-error.ts'
import { readIfPresent, writeWhole } from './files.ts'
import { pause, readFaults } from './faults.ts'
import { Fatal, log } from './log.ts'
import { dbDir } from './paths.ts'
import type { KubeObject, Store } from './store.ts'

export interface Member {
  readonly name: string
  readonly address: string
  readonly isLearner: boolean
}

/** What a leader that leaves gives to the others: who leads now, and to that one the data too. */
export interface HandOver {
  readonly leader: Member
  readonly members: readonly Member[]
  readonly objects: readonly (readonly [string, KubeObject])[]
}

export const etcdDir = join(dbDir, 'etcd')
export const membersFile = join(etcdDir, 'members.json')

/**
 * Embedded etcd in a simple form: one server, the leader, holds the data and counts the others' calls as their heartbeats; the
 * others reach the data through it. Joining, one learner at a time, voters, exit on lost quorum are as in etcd. A leader whose node is
 * deleted hands its data to another voter; electing one is not there, so that the loss of the leader is a lost quorum.
 */
export class Etcd {
  readonly leaderUrl: string
  private readonly store: Store
  private members: readonly Member[]
  private readonly lastSeen = new Map<string, number>()
  private readonly nodesSeen = new Set<string>()
  private readonly own: { readonly name: string; readonly address: string }

  constructor(store: Store, own: { readonly name: string; readonly address: string }) {
    this.store = store
    this.own = own
    this.leaderUrl = `https://${own.address}:6443`
    const known = readIfPresent(membersFile)
    this.members = known === undefined ? [{ ...own, isLearner: false }] : (JSON.parse(known) as readonly Member[])
    if (known === undefined) this.save()
    for (const { name } of this.members) this.lastSeen.set(name, Date.now())
  }

  get list(): readonly Member[] {
    return this.members
  }

  /** POST adds a learner, PUT makes it a voter. */
  async answerMembers(method: string, member: { readonly name: string; readonly address: string }): Promise<object> {
    if (method === 'POST') this.addLearner(member)
    if (method === 'PUT') {
      await pause(300)
      this.members = this.members.map(known => (known.name === member.name ? { ...known, isLearner: false } : known))
      this.save()
    }
    return { members: this.members }
  }

  /** A server whose node was there and is no more leaves; it is told so when it calls, until its db directory is gone. */
  dropDeleted(nodes: readonly string[]): void {
    for (const name of nodes) this.nodesSeen.add(name)
    const staying = this.members.filter(({ name }) => nodes.includes(name) || !this.nodesSeen.has(name))
    if (staying.length === this.members.length || staying.length === 0) return
    this.members = staying
    this.save()
  }

  /** Where the leadership is to go, once this server's own node was deleted; undefined while it stays here. */
  get successor(): Member | undefined {
    if (this.members.some(({ name }) => name === this.own.name)) return undefined
    return this.members.find(({ isLearner }) => !isLearner)
  }

  /** All that the next leader needs. */
  async handOver(): Promise<HandOver | undefined> {
    const { successor } = this
    if (successor === undefined) return undefined
    return { leader: successor, members: this.members, objects: await this.store.dump() }
  }

  /** The store for a member's call; a member that was removed is turned away. */
  storeFor(name: string): Store {
    if (!this.members.some(member => member.name === name))
      throw new ApiError(410, 'Gone', 'this node has been removed from the cluster, please delete its db directory')
    this.lastSeen.set(name, Date.now())
    return this.store
  }

  /** Throws Fatal where fewer than a majority of the voters were seen lately. */
  checkQuorum(): void {
    const voters = this.members.filter(({ isLearner }) => !isLearner)
    const lately = Date.now() - 8000 * Math.max(readFaults().timeScale ?? 1, 0.25)
    const seen = voters.filter(({ name }) => name === this.own.name || (this.lastSeen.get(name) ?? 0) > lately)
    if (seen.length * 2 <= voters.length) throw new Fatal('etcdserver: no leader: lost quorum')
  }

  private addLearner(member: { readonly name: string; readonly address: string }): void {
    const present = this.members.find(({ name }) => name === member.name)
    if (present !== undefined && present.address === member.address) return
    if (present !== undefined)
      throw new ApiError(409, 'Conflict', 'duplicate node name found, please use a unique name for this node')
    if (this.members.some(({ isLearner }) => isLearner))
      throw new ApiError(409, 'Conflict', 'etcdserver: too many learner members in cluster')
    this.members = [...this.members, { ...member, isLearner: true }]
    // Its node comes later: until then it has not been deleted.
    this.nodesSeen.delete(member.name)
    this.lastSeen.set(member.name, Date.now())
    this.save()
    log('info', `Adding learner ${member.name} at ${member.address} to etcd`)
  }

  private save(): void {
    writeWhole(membersFile, JSON.stringify(this.members))
  }
}
