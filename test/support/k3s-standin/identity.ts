import { X509Certificate } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { unauthorized } from './api-error.ts'
import type { Cluster } from './cluster.ts'

/** Who may do what at a server: nobody without a client certificate of ours, or a token where nodes introduce themselves. */
export function requireClientCertificate(request: IncomingMessage, cluster: Cluster): void {
  const raw = (request.socket as TLSSocket).getPeerCertificate().raw as Buffer | undefined
  if (raw === undefined) throw unauthorized()
  const authority = new X509Certificate(cluster.authorities['client-ca'].certificate)
  const given = new X509Certificate(raw)
  if (!given.verify(authority.publicKey) || new Date(given.validTo) < new Date()) throw unauthorized()
}

/** `node`: the agents' token or the servers'; `server`: the servers' only. */
export function requireToken(request: IncomingMessage, cluster: Cluster, role: 'node' | 'server'): void {
  const [scheme, encoded = ''] = (request.headers.authorization ?? '').split(' ')
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? []
  const accepted = role === 'server' ? [cluster.serverPassword] : [cluster.serverPassword, cluster.agentPassword]
  if (scheme !== 'Basic' || password === undefined || !accepted.includes(password)) throw unauthorized()
}
