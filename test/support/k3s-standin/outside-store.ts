import { request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { Fatal } from './log.ts'
import { Conflict, type Key, type KubeObject, type PutOptions, type Store } from './store.ts'

/** One call of a datastore outside, as `datastore-server.ts` answers it. */
export type OutsideCall =
  | { readonly do: 'get' | 'delete'; readonly key: Key }
  | { readonly do: 'list'; readonly prefix: string }
  | { readonly do: 'put'; readonly key: Key; readonly object: KubeObject; readonly options: PutOptions }
  | { readonly do: 'dump' }

/** The objects in a datastore that no server has: `datastore-endpoint: http://user:password@host:port`. (facts/k3s.md §6.2) */
export class OutsideStore implements Store {
  private readonly endpoint: string
  constructor(endpoint: string) {
    if (!endpoint.startsWith('http://'))
      throw new Fatal(`k3s stand-in: datastore-endpoint: the stand-in knows http:// only`)
    this.endpoint = endpoint
  }

  async get(key: Key): Promise<KubeObject | undefined> {
    return (await this.call({ do: 'get', key })) as KubeObject | undefined
  }
  async list(prefix: string): Promise<readonly KubeObject[]> {
    return (await this.call({ do: 'list', prefix })) as readonly KubeObject[]
  }
  async put(key: Key, object: KubeObject, options: PutOptions = {}): Promise<KubeObject> {
    return (await this.call({ do: 'put', key, object, options })) as KubeObject
  }
  async delete(key: Key): Promise<KubeObject | undefined> {
    return (await this.call({ do: 'delete', key })) as KubeObject | undefined
  }
  async dump(): Promise<readonly (readonly [Key, KubeObject])[]> {
    return (await this.call({ do: 'dump' })) as readonly (readonly [Key, KubeObject])[]
  }

  private async call(call: OutsideCall): Promise<unknown> {
    const { status, text } = await post(this.endpoint, JSON.stringify(call))
    if (status === 409) throw new Conflict(text)
    if (status !== 200) throw new Fatal(`starting kubernetes: creating storage endpoint: ${status} ${text}`)
    return (JSON.parse(text) as { readonly value?: unknown }).value
  }
}

async function post(url: string, body: string): Promise<{ readonly status: number; readonly text: string }> {
  return await new Promise((resolve, reject) => {
    const outgoing = request(url, { method: 'POST', timeout: 10_000 }, response => {
      buffer(response).then(bytes => resolve({ status: response.statusCode ?? 0, text: bytes.toString() }), reject)
    })
    outgoing.once('timeout', () => outgoing.destroy(new Error('the datastore does not answer')))
    outgoing.once('error', error =>
      reject(new Fatal(`starting kubernetes: creating storage endpoint: ${error.message}`)),
    )
    outgoing.end(body)
  })
}
