import { log } from './log.ts'
import { Conflict, type KubeObject, type PutOptions, type Store } from './store.ts'
import type { HandOver } from './etcd.ts'
import { takeOver } from './take-over.ts'
import type { StoreCall } from './supervisor-api.ts'
import { callWithToken } from './tls-client.ts'

export interface Leader {
  readonly url: string
  readonly ca: string
  readonly token: string
  /** This server's own name among the members. */
  readonly member: string
}

type Spared<T> = T extends unknown ? Omit<T, 'member'> : never

/** The objects as a server sees them that joined another one. */
export class RemoteStore implements Store {
  private leader: Leader
  private lastAnswer = Date.now()
  constructor(leader: Leader) {
    this.leader = leader
  }

  /** Milliseconds since the leader last answered. */
  get silence(): number {
    return Date.now() - this.lastAnswer
  }

  async get(key: string): Promise<KubeObject | undefined> {
    return (await this.call({ do: 'get', key })) as KubeObject | undefined
  }
  async list(prefix: string): Promise<readonly KubeObject[]> {
    return (await this.call({ do: 'list', prefix })) as readonly KubeObject[]
  }
  async put(key: string, object: KubeObject, options: PutOptions = {}): Promise<KubeObject> {
    return (await this.call({ do: 'put', key, object, options })) as KubeObject
  }
  async delete(key: string): Promise<KubeObject | undefined> {
    return (await this.call({ do: 'delete', key })) as KubeObject | undefined
  }

  get leaderUrl(): string {
    return this.leader.url
  }

  async dump(): Promise<readonly (readonly [string, KubeObject])[]> {
    return (await this.call({ do: 'dump' })) as readonly (readonly [string, KubeObject])[]
  }

  private async call(call: Spared<StoreCall>): Promise<unknown> {
    const { url, ca, token, member } = this.leader
    const body = { ...call, member }
    const answer = await callWithToken(`${url}/v1-k3s/standin/store`, ca, 'server', token, { method: 'POST', body })
    if (answer.status === 409) throw new Conflict(answer.text)
    if (answer.status === 421) {
      this.leader = takeOver(JSON.parse(answer.text) as HandOver, this.leader)
      return await this.call(call)
    }
    if (answer.status === 410) {
      log('fatal', 'this server has been removed from the cluster; delete its db directory to rejoin')
      process.exit(1)
    }
    if (answer.status !== 200) throw new Error(`etcdserver: ${answer.status}: ${answer.text}`)
    this.lastAnswer = Date.now()
    return (JSON.parse(answer.text) as { readonly value?: unknown }).value
  }
}
