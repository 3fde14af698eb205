import { randomBytes, scryptSync } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { ApiError } from './api-error.ts'
import type { Cluster } from './cluster.ts'
import type { Etcd, HandOver } from './etcd.ts'
import { RemoteStore } from './remote-store.ts'
import { requireToken } from './identity.ts'
import { log } from './log.ts'
import { issueFrom } from './pki.ts'
import type { KubeObject, PutOptions, Store } from './store.ts'

/** What a joining server is given. */
export interface Bootstrap {
  readonly authorities: Cluster['authorities']
  readonly agentPassword: string
  readonly critical: Cluster['critical']
  /** Absent where the first server keeps its data in SQLite, which nobody can join. */
  readonly leader?: string
}

/** The paths beside the Kubernetes API that nodes use to join. Undefined: not one of them. */
export async function answerSupervisor(
  request: IncomingMessage,
  url: URL,
  body: unknown,
  cluster: Cluster,
  etcd: Etcd | undefined,
): Promise<object | string | undefined> {
  switch (url.pathname) {
    case '/ping':
      return 'pong'
    case '/cacerts':
      return cluster.authorities['server-ca'].certificate
    case '/v1-k3s/readyz':
      requireToken(request, cluster, 'node')
      return 'ok'
    case '/v1-k3s/config':
      requireToken(request, cluster, 'node')
      return { ...cluster.critical }
    case '/v1-k3s/client-kubelet.crt':
      requireToken(request, cluster, 'node')
      return await introduceNode(request, cluster)
    case '/v1-k3s/server-bootstrap':
      requireToken(request, cluster, 'server')
      return bootstrapOf(cluster, etcd)
    case '/v1-k3s/standin/members':
      requireToken(request, cluster, 'server')
      return await requireEtcd(etcd).answerMembers(request.method ?? '', body as { name: string; address: string })
    case '/v1-k3s/standin/store':
      requireToken(request, cluster, 'server')
      return await onStore(requireEtcd(etcd), body as StoreCall)
    default:
      return undefined
  }
}

/** Gives a node its client certificate, if it is who it was. (facts/k3s.md §7.2) */
async function introduceNode(request: IncomingMessage, cluster: Cluster): Promise<string> {
  const name = String(request.headers['k3s-node-name'] ?? '')
  const password = String(request.headers['k3s-node-password'] ?? '')
  if (name === '' || password === '') throw new ApiError(400, 'BadRequest', 'node name or password is missing')
  await checkNodePassword(cluster, name, password)
  const request_ = { commonName: `system:node:${name}`, organization: 'system:nodes', use: 'client' } as const
  const pair = issueFrom(cluster.authorities['client-ca'], request_)
  const clientAuthority = cluster.authorities['client-ca'].certificate
  return JSON.stringify({ ...pair, clientAuthority })
}

async function checkNodePassword(cluster: Cluster, name: string, password: string): Promise<void> {
  const key = `registry//secrets/kube-system/${name}.node-password.k3s`
  const known = await cluster.store.get(key)
  const stored = (known?.['stringData'] as { readonly hash?: string } | undefined)?.hash
  if (stored === undefined) {
    const secret: KubeObject = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: `${name}.node-password.k3s`, namespace: 'kube-system' },
      stringData: { hash: hashPassword(password, randomBytes(8).toString('hex')) },
    }
    await cluster.store.put(key, secret)
    return
  }
  if (hashPassword(password, stored.split(':')[1] ?? '') === stored) return
  log('error', `Node password validation failed for "${name}"`)
  throw new ApiError(
    403,
    'Forbidden',
    "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server node-passwd entry, try enabling a unique node name with the --with-node-id flag",
  )
}

function hashPassword(password: string, salt: string): string {
  return `$1:${salt}:${scryptSync(password, salt, 32, { N: 1024 }).toString('base64')}`
}

/** Any server tells who leads. */
function bootstrapOf(cluster: Cluster, etcd: Etcd | undefined): Bootstrap {
  const { authorities, agentPassword, critical, store } = cluster
  const leader = etcd?.leaderUrl ?? (store instanceof RemoteStore ? store.leaderUrl : undefined)
  return { authorities, agentPassword, critical, ...(leader === undefined ? {} : { leader }) }
}

function requireEtcd(etcd: Etcd | undefined): Etcd {
  if (etcd === undefined) throw new ApiError(400, 'BadRequest', 'etcd disabled')
  return etcd
}

/** Somebody else leads now. */
export class Redirect extends Error {
  readonly to: HandOver
  constructor(to: HandOver) {
    super('etcdserver: leader changed')
    this.to = to
  }
}

export type StoreCall =
  | { readonly do: 'get' | 'delete'; readonly key: string; readonly member: string }
  | { readonly do: 'dump'; readonly member: string }
  | { readonly do: 'list'; readonly prefix: string; readonly member: string }
  | {
      readonly do: 'put'
      readonly key: string
      readonly object: KubeObject
      readonly options: PutOptions
      readonly member: string
    }

/** A node is gone once its member has left, and another one leads where it was the leader: nobody sees the one without the other. */
async function removeAt(store: Store, key: string, etcd: Etcd): Promise<KubeObject | undefined> {
  const removed = await store.delete(key)
  const nodes = 'registry//nodes/'
  if (key.startsWith(nodes)) etcd.dropDeleted((await store.list(nodes)).map(({ metadata }) => metadata.name))
  return removed
}

async function onStore(etcd: Etcd, call: StoreCall): Promise<object> {
  const handOver = await etcd.handOver()
  if (handOver !== undefined)
    throw new Redirect(handOver.leader.name === call.member ? handOver : { ...handOver, objects: [] })
  const store = etcd.storeFor(call.member)
  switch (call.do) {
    case 'get':
      return { value: await store.get(call.key) }
    case 'delete':
      return { value: await removeAt(store, call.key, etcd) }
    case 'list':
      return { value: await store.list(call.prefix) }
    case 'dump':
      return { value: await store.dump() }
    case 'put':
      return { value: await store.put(call.key, call.object, call.options) }
  }
}
