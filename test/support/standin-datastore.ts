import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { LocalStore } from './k3s-standin/local-store.ts'
import type { OutsideCall } from './k3s-standin/outside-store.ts'
import { Conflict, type Store } from './k3s-standin/store.ts'
import { makeScratch } from './scratch.ts'

/** What stands for an etcd or a database outside of the cluster, for the stand-in k3s. */
export interface StandinDatastore extends AsyncDisposable {
  /** With user and password, as k3s takes it. */
  readonly endpoint: string
  readonly password: string
  /** Names of the nodes in it. */
  nodes(): Promise<readonly string[]>
}

/** Listens on `address`, which the lab's hosts reach. */
export async function startStandinDatastore(address: string): Promise<StandinDatastore> {
  const scratch = await makeScratch()
  const store = new LocalStore(join(scratch.path, 'state.json'))
  const password = 'not-for-everyone'
  const wanted = `Basic ${Buffer.from(`k3s:${password}`).toString('base64')}`
  const server = createServer((request, response) => {
    const refused = request.headers.authorization === wanted ? undefined : { status: 401, body: 'wrong password' }
    void (refused === undefined ? answer(store, request) : Promise.resolve(refused)).then(
      result => send(response, result),
      (error: unknown) => send(response, { status: 500, body: String(error) }),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, address, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `http://k3s:${password}@${address}:${port}`,
    password,
    nodes: async () => (await store.list('registry//nodes/')).map(({ metadata }) => metadata.name),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise(resolve => {
        server.close(resolve)
      })
      await scratch[Symbol.asyncDispose]()
    },
  }
}

interface Result {
  readonly status: number
  readonly body: string
}

async function answer(store: Store, request: IncomingMessage): Promise<Result> {
  const call = (await json(request)) as OutsideCall
  try {
    return { status: 200, body: JSON.stringify({ value: await run(store, call) }) }
  } catch (error) {
    if (error instanceof Conflict) return { status: 409, body: error.message }
    throw error
  }
}

async function run(store: Store, call: OutsideCall): Promise<unknown> {
  switch (call.do) {
    case 'get':
      return await store.get(call.key)
    case 'delete':
      return await store.delete(call.key)
    case 'list':
      return await store.list(call.prefix)
    case 'put':
      return await store.put(call.key, call.object, call.options)
    case 'dump':
      return await store.dump()
  }
}

function send(response: ServerResponse, { status, body }: Result): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(body)
}
