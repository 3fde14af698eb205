import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { ApiError, statusOf } from './api-error.ts'
import type { Cluster } from './cluster.ts'
import type { Etcd } from './etcd.ts'
import { requireClientCertificate } from './identity.ts'
import { KubeApi } from './kube-api.ts'
import { log, reasonOf } from './log.ts'
import type { KeyPair } from './certificate.ts'
import { apiPort } from './paths.ts'
import { Conflict } from './store.ts'
import { answerSupervisor, Redirect } from './supervisor-api.ts'

export interface ApiServer {
  readonly server: Server
  /** From now on the Kubernetes API answers; before, only /ping and /cacerts and the joining of nodes. */
  open(): void
}

/** Listens on 6443: the supervisor's paths and the Kubernetes API behind one certificate. */
export async function startApiServer(cluster: Cluster, leaf: KeyPair, etcd: Etcd | undefined): Promise<ApiServer> {
  const api = new KubeApi(cluster.store)
  let isOpen = false
  const answer = async (request: IncomingMessage): Promise<object | string> => {
    const url = new URL(request.url ?? '/', 'https://server')
    const received = await text(request)
    const body: unknown = received === '' ? undefined : JSON.parse(received)
    const supervisor = await answerSupervisor(request, url, body, cluster, etcd)
    if (supervisor !== undefined) return supervisor
    requireClientCertificate(request, cluster)
    if (!isOpen) throw new ApiError(503, 'ServiceUnavailable', 'apiserver not ready')
    const contentType = request.headers['content-type'] ?? ''
    return await api.answer({ method: request.method ?? 'GET', url, contentType, body })
  }
  const chain = leaf.certificate + cluster.authorities['server-ca'].certificate
  const options = { cert: chain, key: leaf.key, requestCert: true, rejectUnauthorized: false }
  const server = createServer(options, (request, response) => {
    answer(request).then(
      result => send(response, 200, result),
      (error: unknown) => sendError(response, error),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(apiPort, '0.0.0.0', resolve)
  })
  return {
    server,
    open: () => {
      isOpen = true
    },
  }
}

function sendError(response: ServerResponse, error: unknown): void {
  if (error instanceof ApiError) return send(response, error.code, statusOf(error))
  if (error instanceof Redirect) return send(response, 421, error.to)
  if (error instanceof Conflict) return send(response, 409, { message: error.message })
  log('error', `request failed: ${reasonOf(error)}`)
  send(response, 500, statusOf(new ApiError(500, 'InternalError', reasonOf(error))))
}

function send(response: ServerResponse, status: number, body: object | string): void {
  const isText = typeof body === 'string'
  response.writeHead(status, { 'content-type': isText ? 'text/plain' : 'application/json' })
  response.end(isText ? body : JSON.stringify(body))
}
