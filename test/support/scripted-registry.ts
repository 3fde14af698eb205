import type { ServerResponse } from 'node:http'
import { parseReference } from '../../src/core/reference.ts'
import type { Credential } from '../../src/oci/remote/credential.ts'
import { type RemoteOptions, type RemoteRepository, remoteRepository } from '../../src/oci/remote/registry.ts'
import { type SeenRequest, startServer, type TestServer } from './http-server.ts'
import { anonymous } from '../../src/oci/remote/credential.ts'

export type Answer = (request: SeenRequest, response: ServerResponse, server: TestServer) => void | Promise<void>

/** A registry that answers by `METHOD /path-prefix`, the longest one first; an unexpected request is answered by 501. */
export async function scriptedRegistry(answers: Readonly<Record<string, Answer>>): Promise<TestServer> {
  const table = Object.entries({ 'GET /v2/': plain(200, '{}'), ...answers }).sort(([a], [b]) => b.length - a.length)
  return await startServer(async (request, response, server) => {
    const line = `${request.method} ${request.path}`
    const found = table.find(([start]) => (start === 'GET /v2/' ? line === start : line.startsWith(start)))
    if (found === undefined) response.writeHead(501).end(`unexpected: ${line}`)
    else await found[1](request, response, server)
  })
}

/** An answer that is always the same. */
export function plain(status: number, body: string | Buffer = '', headers: Record<string, string> = {}): Answer {
  return (request, response) =>
    void response
      .writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers })
      .end(request.method === 'HEAD' ? undefined : body)
}

/** One answer after the other; the last one stays. */
export function inTurn(...answers: readonly Answer[]): Answer {
  let turn = 0
  return async (...seen) => await answers[Math.min(turn++, answers.length - 1)]!(...seen)
}

/** A connection that breaks. */
export const cut: Answer = (_request, response) => void response.socket?.destroy()

export function refusal(status: number, code: string, message = '', headers: Record<string, string> = {}): Answer {
  return plain(status, JSON.stringify({ errors: [{ code, message }] }), headers)
}

/** The requests as `METHOD /path`. */
export function lines(server: TestServer): readonly string[] {
  return server.seen.map(({ method, path }) => `${method} ${path}`)
}

export function repositoryAt(
  server: TestServer,
  more: Partial<RemoteOptions> & { readonly path?: string; readonly credential?: Credential } = {},
): RemoteRepository {
  const { path = 'r/x', credential, ...options } = more
  const credentials = credential === undefined ? { ...anonymous } : { find: async () => credential }
  const retry = { delayMs: 1, maxDelayMs: 5 }
  return remoteRepository(parseReference(`${server.host}/${path}`), {
    credentials,
    retry,
    certificates: [],
    ...options,
  })
}
