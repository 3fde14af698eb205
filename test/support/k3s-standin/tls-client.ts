import { request, type RequestOptions } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { caHashOf, parseToken } from './token.ts'

export interface Trust {
  readonly ca?: string
  readonly certificate?: string
  readonly key?: string
}

export interface Answer {
  readonly status: number
  readonly text: string
}

export interface Call {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly timeoutMs?: number
}

/** One HTTPS call; any status is an answer. Without `ca` nothing is verified: only for /cacerts. */
export async function callTls(url: string, trust: Trust, call: Call = {}): Promise<Answer> {
  const body = call.body === undefined ? undefined : JSON.stringify(call.body)
  const options: RequestOptions = {
    method: call.method ?? 'GET',
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...call.headers },
    timeout: call.timeoutMs ?? 10_000,
    agent: false,
    ...(trust.ca === undefined ? { rejectUnauthorized: false } : { ca: trust.ca }),
    ...(trust.certificate === undefined ? {} : { cert: trust.certificate, key: trust.key }),
  }
  return await new Promise((resolve, reject) => {
    const outgoing = request(url, options, response => {
      buffer(response).then(
        bytes => resolve({ status: response.statusCode ?? 0, text: bytes.toString() }),
        (error: unknown) => reject(error instanceof Error ? error : new Error(String(error))),
      )
    })
    outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer from ${url}`)))
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}

/** The server's authority, pinned by a token's hash where it has one. (facts/k3s.md §7.2, §10 no. 20) */
export async function fetchAuthority(server: string, token: string): Promise<string> {
  const { status, text } = await callTls(`${server}/cacerts`, {})
  if (status !== 200) throw new Error(`failed to get CA certs: ${server}/cacerts: ${status}`)
  const { caHash } = parseToken(token)
  const found = caHashOf(text)
  if (caHash !== undefined && caHash !== found)
    throw new Error(`token CA hash does not match the Cluster CA certificate hash: ${caHash} != ${found}`)
  return text
}

/** A call of a node that has nothing but its token yet. */
export async function callWithToken(
  url: string,
  ca: string,
  user: 'node' | 'server',
  token: string,
  call: Call = {},
): Promise<Answer> {
  const credentials = Buffer.from(`${user}:${parseToken(token).password}`).toString('base64')
  const answer = await callTls(
    url,
    { ca },
    { ...call, headers: { ...call.headers, authorization: `Basic ${credentials}` } },
  )
  if (answer.status === 401) throw new Error(`${url}: 401 Unauthorized`)
  return answer
}
